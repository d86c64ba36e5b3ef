/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * moments.h - what a heap held at a moment of the last seconds: what is learned late (the kernel's
 * peak of RSS) is told with the heap of that time, not with that of now. Pure; fed in the order of
 * events, of which those of two CPUs may be swapped by a little.
 */
#ifndef MODEL_MOMENTS_H
#define MODEL_MOMENTS_H

#include <stdbool.h>
#include <stdint.h>

#define MOMENTS_SHIFT 22   /* 2^22 ns = 4.2 ms: the grain, finer than the kernel's tick */
#define MOMENTS_SLOTS 1024 /* 4.3 s: more than a timeline's longest interval */

struct moments_slot {
	uint64_t grain; /* time_ns >> MOMENTS_SHIFT, plus 1; 0: none yet */
	double most, last, alloc;
};

struct moments {
	struct moments_slot slot[MOMENTS_SLOTS];
	struct moments_slot newest;
};

/* Bytes in use and ever allocated from time_ns (CLOCK_MONOTONIC) on. */
void moments__note(struct moments *m, uint64_t time_ns, double inuse, double alloc);
/* The highest in use within the grain of that moment, its beginning too, or what was in use since
 * the change before. False: before what is kept. */
bool moments__at(const struct moments *m, uint64_t time_ns, double *ret_inuse, double *ret_alloc);

#endif
