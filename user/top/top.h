/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top.h - what cmd_top, the full-screen view and the plain one share. */
#ifndef TOP_TOP_H
#define TOP_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/mm_probe.h"
#include "probe/proc_timeline.h"
#include "top/chosen.h"
#include "top/machine.h"
#include "top/names.h"
#include "top/top_stacks.h"
#include "top/table.h"
#include "top/top_view.h"

#define TOP_POLL_NS 250000000ULL /* alerts and events are looked at so often */

struct top {
	struct mm_probe *probe;
	struct names *names;
	struct proc_timeline *timeline; /* NULL: none is recorded */
	struct chosen *chosen;		/* those that are watched beyond being shown */
	struct top_stacks *stacks;	/* NULL: page faults are not sampled */
	bool wants_stacks;		/* from the second tick on */
	struct plan_tuning tuning;	/* of their observer */
	struct table table;
	struct top_view view;
	struct machine machine;
	uint64_t interval_ns, duration_ns; /* duration_ns 0: no end */
	uint64_t ticks, max_ticks;	   /* max_ticks 0: no end */
	size_t rows;			   /* shown; 0: all */
	double seconds;			   /* of the last pass */
	uint64_t lost_events, lost_peaks;  /* execs and ends; peaks between two passes */
	uint64_t dropped, rejected; /* timelines that gave way to others, that found no room */
	bool is_screen;		    /* messages on stderr would spoil it */
	double gap_seconds;	    /* the time before the last pass, when it was unduly long */
	int64_t time_unix_ms;
	int64_t clock_step_ms; /* how far the wall clock stepped since the pass before; 0: it did
				  not */
	bool kthreads;
	bool allow_signals; /* keys may send signals and set nice values */
};

/* One pass: events, rows, machine, order. 0 or -errno. */
int top__tick(struct top *t);
/* Alerts and sampled faults; call at least so often. UINT64_MAX: there is nothing. */
void top__poll(struct top *t);
uint64_t top__poll_ns(const struct top *t);
/* Says what was lost, if anything. */
void top__close_books(const struct top *t);
/* True once so many passes are made. */
bool top__done(const struct top *t);

#endif
