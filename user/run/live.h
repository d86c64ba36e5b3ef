/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * live.h - the plain live report: what the process is and holds, then its top stacks.
 */
#ifndef RUN_LIVE_H
#define RUN_LIVE_H

#include <stdio.h>

#include "model/profile.h"
#include "model/watch.h"
#include "run/attach.h"

/* What was true at the report before, to tell rates. One per target. */
struct live_previous {
	uint64_t time_ns;
	double alloc_objects, alloc_bytes, inuse_bytes;
};

struct live_opts {
	int type; /* sample type shown: PROFILE_INUSE_SPACE … */
	int top;  /* stacks shown */
	int max_frames;
	bool histograms;     /* sizes and lifetimes too */
	bool mappings;	     /* the anonymous mappings too */
	bool touched;	     /* what of it is not resident */
	struct watch *watch; /* what was seen before, for verdicts; NULL: none */
};

/* Writes one report. prev is read and brought up to date. */
int live__report(FILE *f, struct attach *attach, const struct target *t,
		 const struct live_opts *opts, struct live_previous *prev);

/* Prints memwatch's own memory by table, with -v. */
void live__footprint(const struct attach *a);
/* The line that closes the books of a run. */
void live__close(const struct observer *o);
/* What the probes cost the targets, and its share of the time watched: "0.3 % of one CPU (12.1
 * ms)". Returns buf. */
char *live__cost(const struct observer *o, const uint64_t *counters, char *buf, size_t len);

#endif
