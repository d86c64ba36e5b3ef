/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot.h - from what was observed to a profile: frames get names, weights become counts, and
 * everything that was lost gets its line.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>

#include "model/profile.h"
#include "observe/observer.h"

struct ledgers;
struct runtimes;
struct symbolizer;

struct snapshot_opts {
	const struct target *target; /* NULL: all of them in one profile */
	bool mappings;		     /* anonymous mappings as samples labelled class=mmap */
	bool histograms;	     /* sizes and lifetimes of blocks */
	bool residency;		     /* a fifth value, resident_space */
	/* In use is only what was allocated since then, CLOCK_MONOTONIC; 0: everything. Of what the
	 * probes see: a Go runtime does not tell when. */
	uint64_t since_ns;
	struct runtimes *runtimes; /* what Go and JIT compilers tell; NULL: without */
	struct ledgers *ledgers;   /* the newest of each process; NULL: without */
};

/* The heap now, with symbols. 0 or a negative errno. */
int snapshot__heap(struct observer *o, struct symbolizer *sym, const struct snapshot_opts *opts,
		   struct profile **ret);
/* On OBSERVER_FILES_GONE: the symbolizer need not hold those files open, either. */
void snapshot__close_files(const struct observer *o, struct symbolizer *sym);
/* The page-fault profile: faulted and resident pages and space. Only if faults are sampled. */
int snapshot__faults(struct observer *o, struct symbolizer *sym, const struct snapshot_opts *opts,
		     struct profile **ret);

#endif
