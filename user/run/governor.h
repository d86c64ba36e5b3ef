/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * governor.h - keeps what memwatch costs the targets under a limit (--max-overhead).
 *
 * The cost has two parts: a trap at every allocator call, which sampling cannot lower, and the
 * work on sampled calls, which it can. Above the limit the interval between samples is doubled as
 * long as that helps; when the traps alone cost too much, the probes work in windows (windows.h).
 *
 * Where stubs sample (--fast) nothing but samples costs anything, so their number is bounded, with
 * a limit or without (pace.h).
 */
#ifndef RUN_GOVERNOR_H
#define RUN_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "observe/observer.h"
#include "run/pace.h"
#include "run/windows.h"

struct governor {
	double max_percent; /* of one CPU; 0: no limit */
	uint64_t last_ns;
	uint64_t last[MW_C_COUNT]; /* counters, when the cost was last looked at */
	double cost_ns;		   /* of the targets until then */
	double last_cost_ns, last_sample_ns;
	uint32_t over; /* looks in a row above the limit: one burst changes nothing */
	struct windows windows;
	bool told; /* of them */
	struct pace pace;
};

void governor__init(struct governor *g, double max_percent, uint64_t now_ns);
/* Looks a few times a second; cheap to call more often. */
void governor__tick(struct governor *g, struct observer *o, uint64_t now_ns);
/* When to call it at the latest, CLOCK_MONOTONIC; UINT64_MAX: nothing waits for it. */
uint64_t governor__due_ns(const struct governor *g);
/* The run ends: closes a window that is open. */
void governor__finish(struct governor *g, struct observer *o);

#endif
