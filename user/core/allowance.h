/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * allowance.h - so much of the time may something take, and a burst beyond it. Pure; times in ns.
 *
 * What is spent may exceed what is left, for how long something takes is known afterwards: the debt
 * is waited for.
 */
#ifndef CORE_ALLOWANCE_H
#define CORE_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: no limit. */
struct allowance {
	double share, burst_ns, left_ns;
	uint64_t at_ns; /* left_ns is as of then */
};

/* share: of the time that goes by; 0: no limit. now_ns: of a clock that never goes back. */
void allowance__init(struct allowance *a, double share, uint64_t burst_ns, uint64_t now_ns);
/* Whether anything is left. */
bool allowance__left(struct allowance *a, uint64_t now_ns);
void allowance__spend(struct allowance *a, uint64_t ns);

#endif
