/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * governor.h - keeps what memwatch costs the targets under a limit (--max-overhead).
 *
 * The cost has two parts: a trap at every allocator call, which sampling cannot lower, and the
 * work on sampled calls, which it can. Above the limit the interval between samples is doubled as
 * long as that helps; when the traps alone cost too much, the allocator probes are taken out, and
 * the profile stays as it was at that moment while mappings, RSS and alerts go on.
 */
#ifndef RUN_GOVERNOR_H
#define RUN_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "observe/observer.h"

struct governor {
	double max_percent; /* of one CPU; 0: no limit */
	uint64_t last_ns;
	double last_cost_ns, last_sample_ns;
	uint32_t over; /* looks in a row above the limit: one burst changes nothing */
	bool detached;
};

void governor__init(struct governor *g, double max_percent, uint64_t now_ns);
/* Looks once a second; cheap to call more often. */
void governor__tick(struct governor *g, struct observer *o, uint64_t now_ns);

#endif
