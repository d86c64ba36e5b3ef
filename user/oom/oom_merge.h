/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oom_merge.h - one record per kill from two witnesses: the probe (at the moment of the kill) and
 * the kernel's log. A kill waits briefly for the other witness and is handed on with what both
 * said; one that stays alone is handed on as such. Pure: time comes as an argument, nothing is
 * allocated after oom_merge__new. Records are by process: of a group that is killed as a whole the
 * kernel may name the first victim twice, and a victim by any of its threads.
 */
#ifndef OOM_OOM_MERGE_H
#define OOM_OOM_MERGE_H

#include "memwatch/oom.h"
#include "oom/event.h"

#define MERGE_PENDING 96
#define MERGE_RECENT 256
/* "No killable processes" comes thousands of times in a row: the first of a group is handed on, and
 * after this time one more event with the number of those that followed. */
#define MERGE_FUTILE 8
#define MERGE_FUTILE_NS 60000000000ULL
/* The log line is written right after the mark, but on a busy machine by a task that has to wait.
 */
#define MERGE_WAIT_KMSG_NS 500000000ULL
#define MERGE_WAIT_PROBE_NS 300000000ULL /* the log line came first: our own wake-up is late */

struct oom_merge;

typedef void (*merge_fn)(void *arg, struct oom_event *e);

/* Clocks: what to add to CLOCK_MONOTONIC ms for wall time. */
struct merge_options {
	bool has_probe, has_kmsg; /* witnesses that exist */
	int version;		  /* of the memory controller: 1 or 2 */
	uint64_t page_bytes;
	/* what the probe keeps of what led to a kill, and since when (monotonic) */
	bool has_reclaim, has_compaction;
	uint64_t stalls_since_ns;
};

int oom_merge__new(const struct merge_options *o, merge_fn fn, void *arg, struct oom_merge **ret);
void oom_merge__free(struct oom_merge *m);

/* A kill from the probe. `now_ns` monotonic, `wall_ms` at that moment. The slot, for whatever else
 * is known now, or NULL if it was handed on or is a duplicate. */
void oom_merge__probe(struct oom_merge *m, const struct mw_ev_oom *ev, uint64_t now_ns,
		      int64_t wall_ms, void (*enrich)(void *arg, struct oom_event *e));
/* A kill from the log; `live`: it was just written (else: the past, no probe can have seen it). */
void oom_merge__kmsg(struct oom_merge *m, const struct kmsg_kill *k, bool live, uint64_t now_ns,
		     int64_t wall_ms, void (*enrich)(void *arg, struct oom_event *e));
/* Hands on what has waited long enough. */
void oom_merge__tick(struct oom_merge *m, uint64_t now_ns);
/* Monotonic time at which oom_merge__tick is due; UINT64_MAX: nothing waits. */
uint64_t oom_merge__due(const struct oom_merge *m);
/* Hands on everything, e.g. at the end. */
void oom_merge__flush(struct oom_merge *m);

#endif
