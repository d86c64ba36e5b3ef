/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/residency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "format/timeline_file.h"
#include "probe/proc_timeline.h"
#include "snapshot/go_part.h"
#include "sys/outfile.h"

#define MAX_INTERVAL_NS 1000000000ULL /* a timeline has at least a row a second */

struct residency {
	const struct attach_options *opts;
	struct observer *observer;
	struct proc_timeline *timeline; /* NULL: none asked for */
	uint64_t interval_ns, due_ns;
	uint32_t ntargets; /* already in the timeline */
};

int residency__new(const struct attach_options *opts, struct observer *s, struct residency **ret)
{
	struct residency *r = calloc(1, sizeof(*r));
	struct proc_timeline_opts topts = {0};
	int err = 0;

	if (!r)
		return -ENOMEM;
	r->opts = opts;
	r->observer = s;
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

void residency__tick(struct residency *r, uint64_t now_ns)
{
	struct observer *s = r->observer;

	if (now_ns < r->due_ns)
		return;
	for (; r->ntargets < s->ntargets; r->ntargets++) {
		const struct target *t = s->targets[r->ntargets];
		int err = t->ended ? 0 : proc_timeline__add(r->timeline, t->pid);

		if (err && err != -ESRCH)
			log_warn("no timeline of %d: %s", t->pid, strerror(-err));
	}
	for (uint32_t i = 0; i < s->ntargets; i++) {
		const struct heap_target *h = &s->heap->targets[s->targets[i]->index];

		struct go_part_numbers n = {.inuse_bytes = h->alloc_bytes - h->free_bytes,
					    .alloc_bytes = h->alloc_bytes};

		go_part__numbers(s->targets[i], &n);
		proc_timeline__heap(r->timeline, s->targets[i]->pid, n.inuse_bytes, n.alloc_bytes);
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
