/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * calibrate.h - what a probe costs on this machine, measured on memwatch itself at the start: a few
 * thousand calls of functions of its own, which are probed as an allocator's are, by the same
 * programs. All that a hit touches is in the caches then. Takes some milliseconds.
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
	double look_ns;		  /* MW_C_LOOK_NS of one look, at memory in the caches */
};

/* The probes on memwatch's own functions stay until alloc_probe__free: taking them out takes the
 * kernel tens of milliseconds. 0 or -errno; on failure *ret is zero and costs are reported as
 * unknown. */
int calibrate__run(struct bpfobj *o, struct alloc_probe *p, struct calibration *ret);

#endif
