/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/residency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "format/timeline_file.h"
#include "probe/proc_timeline.h"
#include "snapshot/runtimes.h"
#include "sys/outfile.h"

#define MAX_INTERVAL_NS 1000000000ULL /* a timeline has at least a row a second */

struct residency {
	const struct attach_options *opts;
	const struct attach *attach;
	struct proc_timeline *timeline; /* NULL: none asked for */
	uint64_t interval_ns, due_ns;
	uint32_t next_index; /* of the first target that is not in the timeline yet */
};

int residency__new(const struct attach_options *opts, const struct attach *a,
		   struct residency **ret)
{
	struct residency *r = calloc(1, sizeof(*r));
	struct proc_timeline_opts topts = {0};
	int err = 0;

	if (!r)
		return -ENOMEM;
	r->opts = opts;
	r->attach = a;
	r->interval_ns = min_of(opts->interval_ns, MAX_INTERVAL_NS);
	r->due_ns = UINT64_MAX;
	if (opts->timeline) {
		topts.interval_ns = r->interval_ns;
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

uint64_t residency__due(const struct residency *r)
{
	return r->due_ns;
}

static void add_new_targets(struct residency *r)
{
	const struct observer *o = r->attach->observer;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		int err;

		if (t->index < r->next_index)
			continue;
		r->next_index = t->index + 1;
		err = t->ended ? 0 : proc_timeline__add(r->timeline, t->pid);
		if (err && err != -ESRCH)
			log_warn("no timeline of %d: %s", t->pid, strerror(-err));
	}
}

void residency__tick(struct residency *r, uint64_t now_ns)
{
	const struct observer *o = r->attach->observer;

	if (now_ns < r->due_ns)
		return;
	add_new_targets(r);
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		struct runtimes_numbers n;

		runtimes__numbers(r->attach->runtimes, o, t, &n);
		proc_timeline__heap(r->timeline, t->pid, n.inuse_bytes, n.alloc_bytes);
	}
	if (proc_timeline__tick(r->timeline) < 0)
		log_debug("a row of the timeline is missing");
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
	size_t n;
	int err;

	if (!r->timeline)
		return 0;
	r->due_ns = 0;
	residency__tick(r, util__now_ns()); /* the last moment, and the ends of processes */
	n = proc_timeline__all(r->timeline, &lines);
	err = timeline_file__save(r->opts->timeline, lines, n);
	if (err)
		log_error("failed to write '%s': %s", r->opts->timeline, outfile__strerror(err));
	else
		log_info("wrote %s", r->opts->timeline);
	return err;
}
