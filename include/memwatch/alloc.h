/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * alloc.h - tables and knobs of the allocator probes, shared with userspace's loader.
 */
#ifndef MEMWATCH_ALLOC_H
#define MEMWATCH_ALLOC_H

#include "memwatch/wire.h"

#define MW_MAX_SITES 4096
#define MW_SITE_CALLERS 16
#define MW_SITE_LAYER 8

/*
 * How many blocks of alloc_live fall into each of these: none is the answer to nearly every free,
 * and costs a word out of 64 KiB that stay in the caches, where the table itself is a miss in them
 * and in the TLB. A block is counted before it comes into the table and until it has left it.
 */
#define MW_LIVE_MARK_BITS 14
#define MW_LIVE_MARKS (1 << MW_LIVE_MARK_BITS)
#define MW_LIVE_MARK(key) ((__u64)(key) * 0x9e3779b97f4a7c15ULL >> (64 - MW_LIVE_MARK_BITS))

/*
 * What a probe needs to know of its site. A call whose return address lies in one of `caller`
 * comes from inside another allocator function of the same module and is not counted again. The
 * ranges are relative to the probed instruction, so they hold wherever the module is mapped.
 */
struct mw_site {
	__u32 ncallers;
	__u16 null_goes_on;  /* realloc(NULL, n) is left to malloc's probe */
	__u16 align_goes_on; /* so is memalign with an alignment up to this; 0: never */
	struct {
		__s64 lo, hi; /* nested if lo <= return address - probed ip < hi */
	} caller[MW_SITE_CALLERS];
	/* The code that the function may call before it asks another file's allocator: what is
	 * called from there while the function runs is nested, too. */
	__u64 nlayer;
	struct {
		__s64 lo, hi;
	} layer[MW_SITE_LAYER];
};

/* Knobs that userspace may change while the programs run. */
struct mw_alloc_config {
	__u64 sample_bytes; /* mean bytes between samples; 1: every allocation; 0: off */
	__u64 wake_bytes;   /* wake userspace when this much waits in the ring */
	__u64 layers;	    /* some target has an allocator that lies over another */
	__u64 sharers;	    /* some process has probes for running in a target's memory */
	/* No allocation is sampled from this moment on (CLOCK_MONOTONIC), for frees are looked for
	 * all the time that probes are in. 0: no such moment. */
	__u64 until_ns;
};

#define MW_MAX_THIN 16 /* at most 2^this times as many bytes between samples of a target */

#endif
