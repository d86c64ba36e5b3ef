/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * calibrate.h - what a probe costs on this machine, measured on memwatch itself: a few thousand
 * calls of functions of its own, which are probed as an allocator's are, by the same programs. All
 * that a hit touches is in the caches then. At the start, and shortly again now and then: what
 * disturbs only adds, so the least that was measured counts.
 *
 * The functions are in a file that is this process's alone. In the program's own, the probes that
 * every other memwatch has there would be run through at each hit.
 */
#ifndef PROBE_CALIBRATE_H
#define PROBE_CALIBRATE_H

#include "probe/alloc_probe.h"

/* The index that calibration uses; no process has it. */
#define CALIBRATE_TARGET (MW_MAX_TARGETS - 1)

/* ns per hit; 0: could not be measured */
struct calibration {
	double alloc_ns, free_ns; /* at an emulated instruction */
	double stepped_ns;	  /* a free at a single-stepped one */
	bool every_return;	  /* alloc_ns is with the return probe, which every call takes */
	double timed_ns;	  /* MW_C_TIMED_FREE_NS of one, with all that it touches in the caches */
};

struct calibrator; /* opaque */

/* The probes on memwatch's own functions stay until alloc_probe__free: taking them out takes the
 * kernel tens of milliseconds. 0 or -errno; on failure *k is zero and costs are reported as
 * unknown. The objects are borrowed. */
int calibrate__new(struct bpfobj *o, struct alloc_probe *p, struct calibration *k,
		   struct calibrator **ret);
/* NULL is fine. */
void calibrate__free(struct calibrator *c);
/* When to measure again; CLOCK_MONOTONIC. Twice as long after the start as the last time. */
bool calibrate__is_due(const struct calibrator *c, uint64_t now_ns);
/* Measures for some 3 ms; not while the programs are told to look at nothing (a rate of 0). */
void calibrate__again(struct calibrator *c, struct calibration *k);
/* *k with what was measured another time: of each the least that is known (0 is not). Pure. */
void calibrate__least(struct calibration *k, const struct calibration *measured);

#endif
