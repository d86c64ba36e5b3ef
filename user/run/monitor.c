/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "format/output.h"
#include "model/heap.h"
#include "observe/faults.h"
#include "run/governor.h"
#include "alert/guard.h"
#include "run/ledger_print.h"
#include "snapshot/ledgers.h"
#include "snapshot/missing.h"
#include "run/live.h"
#include "run/live_view.h"
#include "run/loop.h"
#include "run/recorder.h"
#include "run/residency.h"
#include "sys/outfile.h"

#define DRAIN_INTERVAL_NS 50000000ULL /* events wait at most this long */
#define FIRST_REPORT_NS 100000000ULL  /* the first report does not wait for an interval */

struct monitor {
	const struct attach_options *opts;
	struct attach *attach;
	struct observer *observer; /* its */
	struct live_view *view;	   /* NULL: plain reports */
	struct ledgers *ledgers;
	void (*serve)(void *arg, struct attach *a); /* see monitor__serve */
	void *serve_arg;
	struct loop *loop;
	unsigned report_timer;
	bool failed;
	struct live_previous previous[MW_MAX_TARGETS];
	struct watch watch[MW_MAX_TARGETS]; /* of plain reports: verdicts */
};

int monitor__new(const struct attach_options *opts, struct attach *a, struct monitor **ret)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->opts = opts;
	m->attach = a;
	m->observer = a->observer;
	for (size_t i = 0; i < MW_MAX_TARGETS; i++)
		m->watch[i].leak_after_s = (double)opts->leak_after_ns / 1e9;
	err = ledgers__new(a->observer, opts->from_start, &m->ledgers);
	if (err) {
		free(m);
		return err;
	}
	err = loop__new(&m->loop);
	if (err) {
		ledgers__free(m->ledgers);
		free(m);
		return err;
	}
	*ret = m;
	return 0;
}

void monitor__free(struct monitor *m)
{
	if (!m)
		return;
	live_view__close(m->view);
	for (size_t i = 0; i < MW_MAX_TARGETS; i++)
		watch__clear(&m->watch[i]);
	ledgers__free(m->ledgers);
	loop__free(m->loop);
	free(m);
}

/* What is written out has histograms; what is only looked at does without their cost. */
static int make_profile(struct monitor *m, const struct target *t, struct profile **ret)
{
	struct snapshot_opts opts = {
		.target = t,
		.mappings = m->opts->with_maps,
		.histograms = true,
		.residency = m->opts->touched,
		.ledgers = m->opts->ledger ? m->ledgers : NULL,
	};

	return attach__snapshot(m->attach, opts, ret);
}

/* The sample type that is shown: of page faults the last, resident_space. */
static int shown_type(const struct monitor *m)
{
	return m->opts->faults ? -1 : profile__heap_type(m->opts->sample_index);
}

static int write_one(struct monitor *m, const struct target *t, const char *path)
{
	struct profile *p = NULL;
	int err = make_profile(m, t, &p);

	if (!err)
		err = output__write_type(p, path, shown_type(m));
	profile__free(p);
	if (err) {
		log_error("failed to write '%s': %s", path, outfile__strerror(err));
		m->failed = true;
	}
	return err;
}

/* Every output is tried: one full disk does not cost the others. */
static void write_outputs(struct monitor *m)
{
	struct observer *o = m->observer;

	for (size_t i = 0; i < m->opts->noutputs; i++) {
		const char *path = m->opts->outputs[i];
		bool each = strstr(path, "%p") != NULL;

		if (!each) {
			if (!write_one(m, NULL, path))
				log_info("wrote %s", path);
			continue;
		}
		for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t))
			write_one(m, t, path);
	}
}

static void report_faults(struct monitor *m)
{
	struct profile *p = NULL;
	int err = make_profile(m, NULL, &p);

	if (!err)
		err = output__write_stream(p, stdout, OUTPUT_TEXT, -1);
	profile__free(p);
	if (err || fflush(stdout))
		loop__stop(m->loop); /* nobody reads */
}

/* The books of a page-fault recording. */
static void close_faults(const struct observer *o)
{
	const struct faults *f = observer__faults(o);
	char line[1024];
	double faults = 0;
	struct losses l;

	if (missing__gather(o, NULL, &l))
		return;
	for (uint32_t i = 0; i < observer__heap(o)->nsites; i++) {
		const struct faults_site *site = faults__site(f, i);

		faults += site ? site->faults : 0;
	}
	log_info("done: about %.0f page faults (one in %u sampled) of %u processes, %s", faults,
		 faults__period(f), (unsigned)observer__count(o),
		 losses__line(&l, line, sizeof(line)));
}

static void report(struct monitor *m)
{
	struct live_opts opts = {.type = profile__heap_type(m->opts->sample_index),
				 .top = m->opts->top,
				 .max_frames = 24,
				 .histograms = m->opts->histograms,
				 .touched = m->opts->touched};
	struct observer *o = m->observer;

	if (m->opts->quiet || m->opts->json)
		return;
	if (m->opts->faults) {
		report_faults(m);
		return;
	}
	if (m->view) {
		if (live_view__update(m->view)) {
			m->failed = true;
			loop__stop(m->loop);
		}
		return;
	}
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		int err;

		opts.watch = &m->watch[t->index];
		err = live__report(stdout, m->attach, t, &opts, &m->previous[t->index]);

		if (err) {
			if (err != -EPIPE) { /* of that: nobody reads any more */
				log_error("failed to write to stdout: %s", strerror(-err));
				m->failed = true;
			}
			loop__stop(m->loop);
			return;
		}
	}
	if (m->opts->ledger && ledger_print(m->ledgers, o, stdout, observer__frozen(o), false))
		loop__stop(m->loop);
}

/* What is written is as the processes are at that moment (at_once). */
static void look_at_ledgers(struct monitor *m, bool at_once)
{
	if (m->opts->ledger)
		ledgers__refresh_all(m->ledgers, m->view ? LEDGERS_VIEW_NS : 0, at_once);
}

/* SIGUSR1 */
static void write_now(void *arg)
{
	struct monitor *m = arg;

	attach__poll(m->attach);
	look_at_ledgers(m, true);
	write_outputs(m);
}

static void on_service(void *arg, uint32_t events)
{
	struct monitor *m = arg;

	m->serve(m->serve_arg, m->attach);
}

int monitor__serve(struct monitor *m, int fd, void (*fn)(void *arg, struct attach *a), void *arg)
{
	m->serve = fn;
	m->serve_arg = arg;
	return loop__add_fd(m->loop, fd, on_service, m);
}

int monitor__signal(const struct monitor *m)
{
	return loop__signal(m->loop);
}

static void on_terminal(void *arg, uint32_t events)
{
	struct monitor *m = arg;

	if (events & (EPOLLHUP | EPOLLERR)) /* it is gone */
		loop__stop(m->loop);
}

static int print_json(struct monitor *m)
{
	struct profile *p = NULL;
	int err = make_profile(m, NULL, &p);

	if (!err)
		err = output__write_stream(p, stdout, OUTPUT_JSON, -1);
	profile__free(p);
	if (err)
		log_error("failed to write to stdout: %s", strerror(-err));
	return err;
}

/* Full screen where there is a terminal that can do it. */
static void open_view(struct monitor *m)
{
	const struct attach_options *o = m->opts;

	if (o->plain || o->histograms || o->json || o->quiet || o->faults || o->shares_terminal)
		return;
	if (live_view__open(m->attach, m->ledgers, profile__heap_type(o->sample_index),
			    (double)o->leak_after_ns / 1e9, o->ledger, &m->view))
		m->view = NULL;
}

/* What runs beside the profile. */
struct parts {
	struct monitor *m;
	struct residency *residency;
	struct recorder *recorder;
	struct guard *guard;
	struct governor governor;
};

static void free_parts(struct parts *p)
{
	recorder__free(p->recorder);
	guard__free(p->guard);
	residency__free(p->residency);
}

/* What is kept of a process when an alert fires, or when it was killed. */
static int guard_profile(void *arg, const struct target *t, struct profile **ret)
{
	struct monitor *m = arg;
	struct snapshot_opts opts = {.target = t, .mappings = true};

	while (attach__poll(m->attach) > 0)
		;
	return attach__snapshot(m->attach, opts, ret);
}

static int start_parts(struct monitor *m, struct parts *p, uint64_t now)
{
	struct observer *o = m->observer;
	int err, status = guard__new(&m->opts->alert, o, guard_profile, m, &p->guard);

	if (status)
		return status;
	err = residency__new(m->opts, m->attach, &p->residency);
	if (err) {
		log_error("failed to start the timeline: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (recorder__new(m->opts, m->attach, m->ledgers, &p->recorder))
		return EXIT_FAILED;
	guard__use_timeline(p->guard, residency__timeline(p->residency));
	governor__init(&p->governor, m->opts->max_overhead, now);
	return EXIT_DONE;
}

static void each_turn(void *arg)
{
	struct parts *p = arg;
	struct monitor *m = p->m;
	struct observer *o = m->observer;

	if (m->view && live_view__input(m->view))
		loop__stop(m->loop);
	attach__poll(m->attach);
	residency__tick(p->residency, util__now_ns());
	recorder__tick(p->recorder, util__now_ns());
	if (observer__faults(o))
		faults__look_at_times(observer__faults(o));
	guard__tick(p->guard);
	governor__tick(&p->governor, o, util__now_ns());
	if (!observer__living(o) && !m->opts->faults_all)
		loop__stop(m->loop);
}

static void next_report(void *arg)
{
	struct monitor *m = arg;

	look_at_ledgers(m, false);
	report(m);
	loop__set_timer(m->loop, m->report_timer, util__now_ns() + m->opts->interval_ns);
}

static int watch_targets(struct monitor *m, struct parts *p, uint64_t start_ns)
{
	uint64_t first = start_ns + min_of(m->opts->interval_ns, FIRST_REPORT_NS);
	int err = loop__add_fd(m->loop, observer__fd(m->observer), NULL, NULL);

	if (!err && m->view)
		err = loop__add_fd(m->loop, STDIN_FILENO, on_terminal, m);
	if (!err)
		err = loop__add_timer(m->loop, first, next_report, m, &m->report_timer);
	if (err)
		return err;
	loop__each_turn(m->loop, DRAIN_INTERVAL_NS, each_turn, p);
	loop__on_write(m->loop, write_now, m);
	loop__set_duration(m->loop, m->opts->duration_ns);
	if (observer__living(m->observer) || m->opts->faults_all)
		err = loop__run(m->loop);
	return err;
}

int monitor__run(struct monitor *m)
{
	struct observer *o = m->observer;
	uint64_t start = util__now_ns();
	struct parts p = {.m = m};
	int status = start_parts(m, &p, start);

	if (status) {
		free_parts(&p);
		return status;
	}
	open_view(m);
	residency__tick(p.residency, util__now_ns());
	if (watch_targets(m, &p, start))
		m->failed = true;
	live_view__close(take_ptr(m->view));
	observer__freeze(o);
	look_at_ledgers(m, true); /* while the process is as the profile says */
	if (m->opts->json && m->opts->ledger)
		ledger_print(m->ledgers, m->attach->observer, stdout, true, true);
	observer__stop(o);
	if (residency__save(p.residency))
		m->failed = true;
	if (recorder__save(p.recorder))
		m->failed = true;
	guard__finish(p.guard);
	free_parts(&p);
	report(m);
	if (m->opts->json && print_json(m))
		m->failed = true;
	write_outputs(m);
	live__footprint(o);
	if (m->opts->faults)
		close_faults(o);
	else
		live__close(o);
	return m->failed ? EXIT_FAILED : EXIT_DONE;
}
