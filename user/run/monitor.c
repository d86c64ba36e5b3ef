/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/monitor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "format/output.h"
#include "model/heap.h"
#include "observe/faults.h"
#include "run/governor.h"
#include "snapshot/inuse.h"
#include "alert/guard.h"
#include "run/console.h"
#include "run/ledger_print.h"
#include "snapshot/ledgers.h"
#include "snapshot/missing.h"
#include "run/live.h"
#include "run/live_page.h"
#include "run/live_verdicts.h"
#include "run/live_view.h"
#include "run/loop.h"
#include "run/recorder.h"
#include "run/residency.h"
#include "run/profile_writer.h"
#include "sys/outfile.h"
#include "sys/signals.h"

#define DRAIN_INTERVAL_NS 50000000ULL /* events wait at most this long */
#define FIRST_REPORT_NS 100000000ULL  /* the first report does not wait for an interval */

struct monitor {
	const struct attach_options *opts;
	struct attach *attach;
	struct observer *observer; /* its */
	struct live_view *view;	   /* NULL: plain reports */
	struct live_page *page;	   /* NULL: none */
	struct console *console;
	struct ledgers *ledgers;
	void (*serve)(void *arg, struct attach *a); /* see monitor__serve */
	void *serve_arg;
	struct loop *loop;
	struct profile_writer *writer; /* of outputs while the loop goes on */
	unsigned report_timer;
	bool failed, view_tried;
	bool write_again;		/* SIGUSR1 came while the writer was at work */
	struct live_verdicts *verdicts; /* NULL: page faults are sampled, no heap */
	/* of plain reports, by the target's index: */
	struct {
		uint64_t start_ns; /* of the target: its index may be given to another */
		struct live_previous previous;
	} reported[MW_MAX_TARGETS];
};

static void on_written(void *arg, const char *path, int err);

int monitor__new(const struct attach_options *opts, struct attach *a, struct monitor **ret)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->opts = opts;
	m->attach = a;
	m->observer = a->observer;
	err = ledgers__new(a->observer, opts->from_start, &m->ledgers);
	if (err) {
		free(m);
		return err;
	}
	err = loop__new(&m->loop);
	if (!err && !opts->faults)
		err = live_verdicts__new((double)opts->leak_after_ns / 1e9, &m->verdicts);
	if (!err)
		err = profile_writer__new(m->loop, on_written, m, &m->writer);
	if (err) {
		live_verdicts__free(m->verdicts);
		loop__free(m->loop);
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
	console__free(m->console);
	live_verdicts__free(m->verdicts);
	ledgers__free(m->ledgers);
	profile_writer__free(m->writer);
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

static bool one_per_process(const char *path)
{
	return strstr(path, "%p") != NULL;
}

/* What became of an output. */
static void on_written(void *arg, const char *path, int err)
{
	struct monitor *m = arg;

	if (err) {
		log_error("failed to write '%s': %s", path, outfile__strerror(err));
		m->failed = true;
	} else if (!one_per_process(path)) {
		log_info("wrote %s", path);
	}
}

/* Without a thread: nothing is waiting any more. */
static void write_one(struct monitor *m, const struct target *t, const char *path)
{
	struct profile *p = NULL;
	int err = make_profile(m, t, &p);

	if (!err)
		err = output__write_type(p, path, shown_type(m));
	profile__free(p);
	on_written(m, path, err);
}

/* To the writer's thread. */
static void hand_over(struct monitor *m, const struct target *t, const char *path)
{
	struct profile *p = NULL;
	int err = make_profile(m, t, &p);

	if (!err)
		err = profile_writer__add(m->writer, p, path, shown_type(m));
	if (err)
		on_written(m, path, err);
}

typedef void (*output_fn)(struct monitor *m, const struct target *t, const char *path);

/* Every output is tried: one full disk does not cost the others. */
static void each_output(struct monitor *m, output_fn fn)
{
	struct observer *o = m->observer;

	for (size_t i = 0; i < m->opts->noutputs; i++) {
		const char *path = m->opts->outputs[i];
		const struct target *t = NULL;

		if (!one_per_process(path))
			fn(m, NULL, path);
		else
			while ((t = observer__next(o, t)))
				fn(m, t, path);
	}
}

static int report_faults(struct monitor *m, FILE *f)
{
	struct profile *p = NULL;
	int err = make_profile(m, NULL, &p);

	if (!err)
		err = output__write_stream(p, f, OUTPUT_TEXT, -1);
	profile__free(p);
	return err;
}

/* The books of a page-fault recording. */
static void close_faults(const struct monitor *m)
{
	const struct observer *o = m->observer;
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
	log_info("done: about %.0f page faults (one in %u sampled) of %u process%s, %s%s", faults,
		 faults__period(f), (unsigned)observer__count(o), units__es(observer__count(o)),
		 losses__line(&l, line, sizeof(line)),
		 m->opts->faults_for_go ? "; the heap profile of the Go program is off" : "");
}

static int report_target(struct monitor *m, FILE *f, const struct target *t, struct live_opts *opts)
{
	struct live_previous *previous = &m->reported[t->index].previous;

	if (m->reported[t->index].start_ns != t->start_ns) {
		m->reported[t->index].start_ns = t->start_ns;
		*previous = (struct live_previous){0};
	}
	opts->watch = live_verdicts__watch(m->verdicts, t);
	return live__report(f, m->attach, t, opts, previous);
}

static int report_processes(struct monitor *m, FILE *f)
{
	struct live_opts opts = {.type = profile__heap_type(m->opts->sample_index),
				 .top = m->opts->top,
				 .max_frames = 24,
				 .histograms = m->opts->histograms,
				 .mappings = m->opts->with_maps,
				 .touched = m->opts->touched};
	struct observer *o = m->observer;
	int err = 0;

	for (const struct target *t = observer__next(o, NULL); t && !err; t = observer__next(o, t))
		err = report_target(m, f, t, &opts);
	if (!err && m->opts->ledger)
		err = ledger_print(m->ledgers, o, f, observer__frozen(o), false);
	return err;
}

/* Nobody reads any more: that is a reason to end, not to complain. */
static void stdout_failed(struct monitor *m, int err)
{
	if (err != -EPIPE) {
		log_error("failed to write to stdout: %s", strerror(-err));
		m->failed = true;
	}
	loop__stop(m->loop);
}

static int print_json(struct monitor *m, FILE *f)
{
	struct profile *p = NULL;
	int err = 0;

	if (m->opts->ledger)
		err = ledger_print(m->ledgers, m->observer, f, true, true);
	if (!err)
		err = make_profile(m, NULL, &p);
	if (!err)
		err = output__write_stream(p, f, OUTPUT_JSON, -1);
	profile__free(p);
	return err;
}

/* One report by `print` to stdout, unless those before are not read. */
static void put_report(struct monitor *m, int (*print)(struct monitor *m, FILE *f))
{
	FILE *f = console__begin(m->console);
	int err, e;

	if (!f)
		return;
	if (console__dropped(m->console))
		fprintf(f, "(reports left out because they were not read in time: %" PRIu64 ")\n",
			console__dropped(m->console));
	err = print(m, f);
	e = console__end(m->console, f);
	if (err || e)
		stdout_failed(m, err ? err : e);
}

static void report(struct monitor *m)
{
	if (m->opts->quiet || m->opts->json)
		return;
	if (!m->view) {
		put_report(m, m->opts->faults ? report_faults : report_processes);
		return;
	}
	if (live_view__update(m->view)) {
		m->failed = true;
		loop__stop(m->loop);
	}
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

	m->write_again = profile_writer__busy(m->writer);
	if (m->write_again)
		return;
	attach__poll(m->attach);
	look_at_ledgers(m, true);
	each_output(m, hand_over);
	profile_writer__start(m->writer);
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

void monitor__show(struct monitor *m, struct live_page *page)
{
	m->page = page;
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

/* Full screen where there is a terminal that can do it. */
static void open_view(struct monitor *m)
{
	const struct attach_options *o = m->opts;
	struct live_view_opts view = {.type = profile__heap_type(o->sample_index),
				      .leak_after_s = (double)o->leak_after_ns / 1e9,
				      .show_ledger = o->ledger,
				      .allow_signals = o->allow_signals,
				      .mappings = o->with_maps};

	if (o->plain || o->histograms || o->json || o->quiet || o->faults || o->shares_terminal)
		return;
	if (live_view__open(m->attach, m->ledgers, &view, &m->view))
		m->view = NULL;
}

/* What runs beside the profile. */
struct parts {
	struct monitor *m;
	struct residency *residency;
	struct recorder *recorder;
	struct guard *guard;
	struct governor governor;
	unsigned governor_timer;
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

	observer__catch_up(m->observer);
	attach__poll(m->attach);
	return attach__snapshot(m->attach, opts, ret);
}

static int start_parts(struct monitor *m, struct parts *p, uint64_t now)
{
	struct observer *o = m->observer;
	int err, status = guard__new(&m->opts->alert, o, guard_profile, m, &p->guard);

	if (status)
		return status;
	err = residency__new(m->opts, m->attach, m->ledgers, &p->residency);
	if (err) {
		log_error("failed to start the timeline: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (recorder__new(m->opts, m->attach, m->ledgers, &p->recorder))
		return EXIT_FAILED;
	guard__use_timeline(p->guard, residency__timeline(p->residency));
	governor__init(&p->governor, m->opts->max_overhead, now);
	return m->page ? live_page__begin(m->page, m->loop, m->opts, m->attach, m->ledgers,
					  p->residency, m->verdicts)
		       : EXIT_DONE;
}

static bool waits_for_more(const struct monitor *m)
{
	return observer__living(m->observer) || m->opts->faults_all || m->opts->selector;
}

/* Not before there is something to show: what is waited for stands on the terminal till then. */
static int open_view_once(struct monitor *m)
{
	if (m->view_tried || !observer__count(m->observer))
		return 0;
	m->view_tried = true;
	open_view(m);
	return m->view ? loop__add_fd(m->loop, STDIN_FILENO, on_terminal, m) : 0;
}

static void each_turn(void *arg)
{
	struct parts *p = arg;
	struct monitor *m = p->m;
	struct observer *o = m->observer;

	if (m->view && live_view__input(m->view) != TUI_STAY)
		loop__stop(m->loop);
	if (console__error(m->console))
		stdout_failed(m, console__error(m->console));
	attach__poll(m->attach);
	if (m->write_again && !profile_writer__busy(m->writer))
		write_now(m);
	residency__tick(p->residency, util__now_ns());
	recorder__tick(p->recorder, util__now_ns());
	if (observer__faults(o))
		faults__look_at_times(observer__faults(o));
	guard__tick(p->guard);
	governor__tick(&p->governor, o, util__now_ns());
	loop__set_timer(m->loop, p->governor_timer, governor__due_ns(&p->governor));
	attach__choose(m->attach);
	if (open_view_once(m)) {
		m->failed = true;
		loop__stop(m->loop);
	}
	if (!waits_for_more(m))
		loop__stop(m->loop);
}

static void next_report(void *arg)
{
	struct monitor *m = arg;

	look_at_ledgers(m, false);
	report(m);
	live_page__changed(m->page);
	loop__set_timer(m->loop, m->report_timer, util__now_ns() + m->opts->interval_ns);
}

/* Turns the loop, at which the governor looks. */
static void governor_due(void *arg)
{
}

static int watch_targets(struct monitor *m, struct parts *p, uint64_t start_ns)
{
	uint64_t first = start_ns + min_of(m->opts->interval_ns, FIRST_REPORT_NS);
	int err = loop__add_fd(m->loop, observer__fd(m->observer), NULL, NULL);

	if (!err)
		err = open_view_once(m);
	if (!err)
		err = loop__add_timer(m->loop, first, next_report, m, &m->report_timer);
	if (!err)
		err = loop__add_timer(m->loop, LOOP_NEVER, governor_due, NULL, &p->governor_timer);
	if (err)
		return err;
	loop__each_turn(m->loop, DRAIN_INTERVAL_NS, each_turn, p);
	loop__on_write(m->loop, write_now, m);
	loop__set_duration(m->loop, m->opts->duration_ns);
	if (waits_for_more(m))
		err = loop__run(m->loop);
	return err;
}

/* Something is to be made of the run that must be whole; what is only shown need not be. */
static bool must_finish(const struct attach_options *o)
{
	return o->noutputs || o->timeline || o->record || o->peak || o->peak_rss || o->json ||
	       o->alert.command || o->alert.oom_log;
}

/* What a run leaves, best first: files before what is only shown, which may wait for a reader. */
static void close_run(struct monitor *m, struct parts *p)
{
	struct observer *o = m->observer;

	if (m->serve)
		m->serve(m->serve_arg, NULL);
	live_page__end(m->page);
	governor__finish(&p->governor, o);
	inuse__look_all(o);
	observer__freeze(o);
	look_at_ledgers(m, true); /* while the process is as the profile says */
	observer__stop(o);
	live_view__close(take_ptr(m->view));
	if (residency__save(p->residency))
		m->failed = true;
	if (recorder__save(p->recorder))
		m->failed = true;
	guard__finish(p->guard);
	free_parts(p);
	profile_writer__finish(m->writer);
	each_output(m, write_one);
	if (must_finish(m->opts) && !m->opts->json)
		signals__finish_first(false);
	console__flush(m->console);
	if (!console__error(m->console))
		report(m);
	if (m->opts->json)
		put_report(m, print_json);
	console__flush(m->console);
	live__footprint(m->attach);
	if (m->opts->faults)
		close_faults(m);
	else
		live__close(o);
}

int monitor__run(struct monitor *m)
{
	uint64_t start = util__now_ns();
	struct parts p = {.m = m};
	int err, status = start_parts(m, &p, start);

	if (status) {
		free_parts(&p);
		return status;
	}
	err = console__new(&m->console);
	if (err) {
		log_error("failed to start: %s", strerror(-err));
		free_parts(&p);
		return EXIT_FAILED;
	}
	if (must_finish(m->opts))
		signals__finish_first(true);
	residency__tick(p.residency, util__now_ns());
	if (watch_targets(m, &p, start))
		m->failed = true;
	close_run(m, &p);
	console__free(take_ptr(m->console));
	if (m->opts->selector && !observer__count(m->observer) && !m->attach->came && !m->failed) {
		log_error("no process matched");
		return EXIT_NO_PROCESS;
	}
	return m->failed ? EXIT_FAILED : EXIT_DONE;
}
