/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
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
#include "run/recorder.h"
#include "run/residency.h"
#include "sys/outfile.h"
#include "sys/signals.h"

#define DRAIN_INTERVAL_NS 50000000ULL /* events wait at most this long */
#define FIRST_REPORT_NS 100000000ULL  /* the first report does not wait for an interval */

struct monitor {
	const struct attach_options *opts;
	struct attach *attach;
	struct observer *observer; /* its */
	struct live_view *view;	   /* NULL: plain reports */
	struct ledgers *ledgers;
	int serve_fd; /* see monitor__serve */
	void (*serve)(void *arg, struct attach *a);
	void *serve_arg;
	int signal_fd;
	bool stop, failed;
	int signal;
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
	m->signal_fd = signals__fd();
	if (m->signal_fd < 0) {
		err = m->signal_fd;
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
	close(m->signal_fd);
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
		m->stop = true; /* nobody reads */
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
		if (live_view__update(m->view))
			m->stop = m->failed = true;
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
			m->stop = true;
			return;
		}
	}
	if (m->opts->ledger && ledger_print(m->ledgers, o, stdout, observer__frozen(o), false))
		m->stop = true;
}

/* What is written is as the processes are at that moment (at_once). */
static void look_at_ledgers(struct monitor *m, bool at_once)
{
	if (m->opts->ledger)
		ledgers__refresh_all(m->ledgers, m->view ? LEDGERS_VIEW_NS : 0, at_once);
}

static void read_signals(struct monitor *m)
{
	struct signalfd_siginfo si;

	while (read(m->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGUSR1) {
			attach__poll(m->attach);
			look_at_ledgers(m, true);
			write_outputs(m);
			continue;
		}
		signals__end_seen();
		m->signal = si.ssi_signo;
		m->stop = true;
	}
}

void monitor__serve(struct monitor *m, int fd, void (*fn)(void *arg, struct attach *a), void *arg)
{
	m->serve_fd = fd;
	m->serve = fn;
	m->serve_arg = arg;
}

int monitor__signal(const struct monitor *m)
{
	return m->signal;
}

/* Waits for events, signals or the end of a process, at most until `until`. */
static void wait_some(struct monitor *m, uint64_t until)
{
	struct pollfd fds[4];
	uint64_t now = util__now_ns();
	int ms, err;

	fds[0] = (struct pollfd){.fd = observer__fd(m->observer), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = m->view ? STDIN_FILENO : -1, .events = POLLIN};
	fds[3] = (struct pollfd){.fd = m->serve ? m->serve_fd : -1, .events = POLLIN};
	ms = until > now ? (until - now + 999999) / 1000000 : 0;
	/* an interrupted wait too: the window may have got another size */
	err = poll(fds, ARRAY_SIZE(fds), ms);
	if (m->view && (err < 0 || fds[2].revents) && live_view__input(m->view))
		m->stop = true;
	if (m->view && err > 0 && (fds[2].revents & (POLLHUP | POLLERR | POLLNVAL)))
		m->stop = true; /* the terminal is gone */
	if (err <= 0)
		return;
	if (fds[1].revents)
		read_signals(m);
	if (fds[3].revents)
		m->serve(m->serve_arg, m->attach);
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

struct parts {
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

static void watch_targets(struct monitor *m, struct parts *p, uint64_t now)
{
	uint64_t end = m->opts->duration_ns ? now + m->opts->duration_ns : UINT64_MAX;
	uint64_t next = now + min_of(m->opts->interval_ns, FIRST_REPORT_NS);
	struct observer *o = m->observer;

	while (!m->stop && (observer__living(o) || m->opts->faults_all)) {
		wait_some(m, min_of(min_of(now + DRAIN_INTERVAL_NS, next), end));
		attach__poll(m->attach);
		residency__tick(p->residency, util__now_ns());
		recorder__tick(p->recorder, util__now_ns());
		if (observer__faults(o))
			faults__look_at_times(observer__faults(o));
		guard__tick(p->guard);
		governor__tick(&p->governor, o, util__now_ns());
		now = util__now_ns();
		if (now >= end)
			break;
		if (now >= next) {
			look_at_ledgers(m, false);
			report(m);
			next = now + m->opts->interval_ns;
		}
	}
}

int monitor__run(struct monitor *m)
{
	struct observer *o = m->observer;
	uint64_t start = util__now_ns();
	struct parts p = {0};
	int status = start_parts(m, &p, start);

	if (status) {
		free_parts(&p);
		return status;
	}
	open_view(m);
	residency__tick(p.residency, util__now_ns());
	watch_targets(m, &p, start);
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
	if (m->opts->faults)
		close_faults(o);
	else
		live__close(o);
	return m->failed ? EXIT_FAILED : EXIT_DONE;
}
