/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ration.h - how much more rarely a process is sampled than its rule says, by what profiling it has
 * cost: in steps of a quarter of the samples, down while it costs too much, and up again when it
 * has long cost so little that there is room for more. Pure.
 */
#ifndef DAEMON_RATION_H
#define DAEMON_RATION_H

#include <stdbool.h>

#define RATION_STEP 2	     /* octaves: a quarter of the samples */
#define RATION_MAX_OCTAVES 6 /* fewer samples than that tell little */
#define RATION_PATIENCE 3    /* looks above the limit in a row */
#define RATION_CALM 60	     /* looks so far below it that more may be sampled again */

/* All zero: as its rule says. */
struct ration {
	unsigned octaves; /* so many times twice as rarely as its rule says */
	unsigned over, under; /* looks in a row above its limit, and far below it */
};

/* Since the look before, percent of one CPU. */
struct ration_cost {
	double percent, sampling_percent; /* the second: what sampled calls are of the first */
	double limit;			  /* of its own */
	double all_percent, all_limit;	  /* of all processes together */
};

/* A look at what it has cost. */
void ration__look(struct ration *r, const struct ration_cost *c);
/* Has it been above its limit for so long that something must be done? */
bool ration__is_over(const struct ration *r);
/* Would it help to sample it less? A call costs its trap, sampled or not. */
bool ration__less_helps(const struct ration *r, const struct ration_cost *c);
/* Has it been far below for so long that it may be sampled more again? */
bool ration__is_calm(const struct ration *r);
/* It is sampled so from now on: looks are counted anew. */
void ration__set(struct ration *r, unsigned octaves);

#endif
