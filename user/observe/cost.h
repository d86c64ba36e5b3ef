/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cost.h - what observing costs a target, from what was counted and what a hit was measured to
 * cost. Pure.
 */
#ifndef OBSERVE_COST_H
#define OBSERVE_COST_H

#include <stdint.h>

#include "probe/calibrate.h"

struct cost {
	double hits_ns;	   /* hits and returns, in themselves */
	double misses_ns;  /* what waiting for memory costs the target more for them */
	double samples_ns; /* in the programs, on calls bound for the profile */
};

/* counters: MW_C_COUNT of them. */
struct cost cost__of(const struct calibration *k, const uint64_t *counters);
/* ns between two readings of counters; *last becomes *now. */
double cost__since(const struct calibration *k, uint64_t *last, const uint64_t *now);

#endif
