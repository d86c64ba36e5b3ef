/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/residency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "format/timeline_file.h"
#include "model/heap.h"
#include "probe/proc_timeline.h"
#include "snapshot/ledgers.h"
#include "snapshot/runtimes.h"
#include "sys/outfile.h"

#define MAX_INTERVAL_NS 1000000000ULL /* a timeline has at least a row a second */

#define MAX_CHOSEN \
	256 /* timelines of processes that match a selector: a service may restart for ever */

struct residency {
	const struct attach_options *opts;
	const struct attach *attach;
	const struct ledgers *ledgers;	/* NULL: none are read */
	struct proc_timeline *timeline; /* NULL: none asked for */
	uint64_t interval_ns, due_ns;
	uint64_t newest_ns; /* start of the newest target in the timeline; indices are used again */
};

/* The probes' heap at a moment; a runtime's own numbers are known for the present alone. */
static bool heap_at(void *arg, pid_t pid, uint64_t time_ns, double *ret_inuse, double *ret_alloc)
{
	const struct attach *a = arg;
	const struct observer *o = a->observer;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		if (t->pid == pid)
			return !runtimes__is_go(a->runtimes, t) &&
			       heap__at(observer__heap(o), t->index, time_ns, ret_inuse, ret_alloc);
	}
	return false;
}

int residency__new(const struct attach_options *opts, const struct attach *a,
		   const struct ledgers *ledgers, struct residency **ret)
{
	struct residency *r = calloc(1, sizeof(*r));
	struct proc_timeline_opts topts = {0};
	int err = 0;

	if (!r)
		return -ENOMEM;
	r->opts = opts;
	r->attach = a;
	r->ledgers = opts->ledger ? ledgers : NULL;
	r->interval_ns = min_of(opts->interval_ns, MAX_INTERVAL_NS);
	r->due_ns = UINT64_MAX;
	if (opts->timeline || opts->http) {
		topts.interval_ns = r->interval_ns;
		topts.max_processes = opts->selector ? MAX_CHOSEN : 0;
		topts.heap_at = heap_at;
		topts.heap_arg = (void *)a;
		observer__keep_moments(a->observer);
		r->due_ns = util__now_ns();
		err = proc_timeline__new(&topts, &r->timeline);
		if (!err && *proc_timeline__note(r->timeline))
			log_warn("timeline: %s", proc_timeline__note(r->timeline));
	}
	if (err) {
		residency__free(r);
		return err;
	}
	*ret = r;
	return 0;
}

void residency__free(struct residency *r)
{
	if (!r)
		return;
	proc_timeline__free(r->timeline);
	free(r);
}

/* A new target has a row at once: it may be gone before the next is due. One that is gone already
 * has the row of its attach. */
static void add_new_targets(struct residency *r, uint64_t now_ns)
{
	const struct observer *o = r->attach->observer;
	uint64_t newest_ns = r->newest_ns;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		int err;

		if (t->start_ns <= r->newest_ns)
			continue;
		newest_ns = max_of(newest_ns, t->start_ns);
		err = t->first.tgid ? proc_timeline__add_seen(r->timeline, &t->first, t->start_ns)
				    : proc_timeline__add(r->timeline, t->pid);
		if (!err)
			r->due_ns = now_ns;
		else if (err != -ESRCH)
			log_warn("no timeline of %d: %s", t->pid, strerror(-err));
	}
	r->newest_ns = newest_ns;
}

/* A Go program's columns are its runtime's; of others, the ledger's. */
static void put_more(struct residency *r, const struct target *t)
{
	int64_t go[GO_TIMELINE_COLUMNS], line[LEDGER_KINDS];
	const struct ledgers_entry *e;
	int err = 0;

	if (runtimes__timeline(r->attach->runtimes, t, go)) {
		err = proc_timeline__more(r->timeline, t->pid, go_timeline_names,
					  GO_TIMELINE_COLUMNS, go);
	} else if (r->ledgers && !runtimes__is_go(r->attach->runtimes, t)) {
		e = ledgers__of(r->ledgers, t);
		if (!e || !e->has || e->start_ns != t->start_ns)
			return;
		for (int k = 0; k < LEDGER_KINDS; k++)
			line[k] = ledger__is_shown(&e->ledger, k)
					  ? max_of(e->ledger.line[k].rss_bytes, (int64_t)0)
					  : TIMELINE_UNKNOWN;
		err = proc_timeline__more(r->timeline, t->pid, ledger_columns, LEDGER_KINDS, line);
	}
	if (err == -ENOMEM)
		log_debug("no memory for further columns of the timeline");
}

void residency__tick(struct residency *r, uint64_t now_ns)
{
	const struct observer *o = r->attach->observer;
	char news[PROC_TIMELINE_NEWS];

	if (r->timeline)
		add_new_targets(r, now_ns);
	if (now_ns < r->due_ns)
		return;
	observer__catch_up(r->attach->observer); /* the row's heap is that of its moment */
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		struct runtimes_numbers n;

		runtimes__numbers(r->attach->runtimes, o, t, &n);
		proc_timeline__heap(r->timeline, t->pid, n.inuse_bytes, n.alloc_bytes);
		put_more(r, t);
	}
	if (proc_timeline__tick(r->timeline) < 0)
		log_debug("a row of the timeline is missing");
	if (*proc_timeline__news(r->timeline, now_ns, news, sizeof(news)))
		log_warn("the timeline is full: %s", news);
	r->due_ns += r->interval_ns;
	if (r->due_ns <= now_ns)
		r->due_ns = now_ns + r->interval_ns;
}

struct proc_timeline *residency__timeline(const struct residency *r)
{
	return r->timeline;
}

int residency__save(struct residency *r)
{
	const struct timeline *const *lines;
	char news[PROC_TIMELINE_NEWS];
	size_t n;
	int err;

	if (!r->timeline || !r->opts->timeline)
		return 0;
	r->due_ns = 0;
	residency__tick(r, util__now_ns()); /* the last moment, and the ends of processes */
	n = proc_timeline__all(r->timeline, &lines);
	if (*proc_timeline__news(r->timeline, UINT64_MAX, news, sizeof(news)))
		log_warn("the timeline was full: %s", news);
	err = timeline_file__save(r->opts->timeline, lines, n);
	if (err)
		log_error("failed to write '%s': %s", r->opts->timeline, outfile__strerror(err));
	else
		log_info("wrote %s", r->opts->timeline);
	return err;
}
