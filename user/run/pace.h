/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pace.h - bounds how many samples a second stubs take (--fast), of all targets of an observer
 * together: the interval between samples follows what they allocate, and weights follow the
 * interval. Where nothing but samples costs anything, this bounds the cost.
 */
#ifndef RUN_PACE_H
#define RUN_PACE_H

#include <stdint.h>

#include "observe/observer.h"

#define PACE_MAX_SAMPLE_BYTES (1ULL << 36) /* beyond this nothing is sampled any more */

/* All 0 before the first look. */
struct pace {
	uint64_t last_ns, last_samples;
	uint64_t wanted; /* bytes between samples, as asked for */
	uint64_t told;	 /* the coarsest so far */
};

/* The interval that is to follow `rate`, when so many samples have been taken in all by now: so much
 * coarser at once as it takes, finer by half at a time until it is as wanted. Pure. */
uint64_t pace__next(struct pace *p, uint64_t rate, uint64_t samples, uint64_t now_ns);

/* Looks a few times a second; cheap to call more often. Nothing where no stubs are, nor of every
 * allocation. */
void pace__tick(struct pace *p, struct observer *o, uint64_t now_ns);

#endif
