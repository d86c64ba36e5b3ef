/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watch.h - what became of stacks and functions from one snapshot to the next: values now, at the
 * snapshot before and at a mark, and for the largest a series for a verdict.
 *
 * Things are known by a 64-bit key that means the same in every snapshot of one process
 * (watch__stack_keys makes one for each sample). Bounded: beyond WATCH_MAX_ENTRIES nothing is added
 * (counted); at most WATCH_MAX_SERIES have a series. Pure; one thread at a time.
 */
#ifndef MODEL_WATCH_H
#define MODEL_WATCH_H

#include "core/hash_index.h"
#include "model/profile.h"
#include "model/trend.h"

#define WATCH_VALUES 4 /* the four heap sample types, PROFILE_ALLOC_OBJECTS … */
#define WATCH_MAX_ENTRIES (1u << 20)
#define WATCH_MAX_SERIES 4096

struct watch_entry {
	uint64_t key;
	int64_t now[WATCH_VALUES], before[WATCH_VALUES], mark[WATCH_VALUES];
	uint32_t seen;	 /* tick of the last snapshot with it */
	uint32_t series; /* index + 1; 0: none */
};

struct watch {
	struct watch_entry *entries;
	size_t n, cap;
	struct hash_index index; /* entries by key */
	struct trend_series **series;
	size_t nseries, series_cap;
	uint32_t tick;
	double now_s, before_s; /* times of the last two snapshots */
	uint64_t dropped;
	bool marked;
	double leak_after_s; /* of trend__judge; the owner's to set, kept by watch__clear */
};

void watch__clear(struct watch *w);

/* Optional, before the first snapshot: at t_s there was nothing (the start of the recording). */
void watch__begin(struct watch *w, double t_s);
/* A snapshot begins at t_s seconds. Every watch__put until the next one belongs to it. */
void watch__tick(struct watch *w, double t_s);
/* Values of one thing. with_series: worth a series (a large one). Returns its entry, borrowed until
 * the next put, or NULL when there is no room. */
struct watch_entry *watch__put(struct watch *w, uint64_t key, const int64_t v[WATCH_VALUES],
			       bool with_series);
struct watch_entry *watch__find(const struct watch *w, uint64_t key);

/* Per second since the snapshot before; 0 when it is new. */
double watch__rate(const struct watch *w, const struct watch_entry *e, int type);
/* The verdict on the bytes in use; too early if it has no series. */
void watch__trend(const struct watch *w, const struct watch_entry *e, struct trend *ret);
/* Remembers the values of now for differences. */
void watch__mark(struct watch *w);

/*
 * A key for each sample: of its locations' addresses and modules and its textual labels, so that
 * it is the same in all snapshots of a process. keys has p->nsamples entries. 0 or -ENOMEM.
 */
int watch__stack_keys(const struct profile *p, uint64_t *keys);

/* Puts a whole snapshot in, stack by stack. 0 or -ENOMEM. */
int watch__profile(struct watch *w, const struct profile *p, double t_s);

#endif
