/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * calibrate.h - what a probe costs on this machine, measured on memwatch itself at the start: a
 * few hundred calls of two functions of its own, one probed at an emulated instruction and one at
 * a single-stepped one. Takes some milliseconds.
 */
#ifndef PROBE_CALIBRATE_H
#define PROBE_CALIBRATE_H

#include "probe/alloc_probe.h"

/* The index that calibration uses; no process has it. */
#define CALIBRATE_TARGET (MW_MAX_TARGETS - 1)

struct calibration {
	double emulated_ns, stepped_ns; /* per hit; 0: could not be measured */
};

/* The probes on memwatch's own functions stay until alloc_probe__free: taking them out takes the
 * kernel tens of milliseconds. 0 or -errno; on failure *ret is zero and costs are reported as
 * unknown. */
int calibrate__run(struct alloc_probe *p, struct calibration *ret);

#endif
