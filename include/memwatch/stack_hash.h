/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
/*
 * stack_hash.h - the id of a stack: a hash of its frames, its process and the epoch of its address
 * space; never 0, and without the mark of a copy. The kernel and whoever finishes its walks reckon
 * it alike.
 */
#ifndef MEMWATCH_STACK_HASH_H
#define MEMWATCH_STACK_HASH_H

#include "memwatch/wire.h"

static inline __u64 mw_stack_hash_begin(__u32 target, __u32 epoch, __u32 n)
{
	return (__u64)target << 48 ^ (__u64)epoch << 16 ^ n ^ 0x9e3779b97f4a7c15ULL;
}

static inline __u64 mw_stack_hash_add(__u64 h, __u64 pc)
{
	h = (h ^ pc) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

static inline __u64 mw_stack_hash_end(__u64 h)
{
	h &= ~MW_STACK_COPY;
	return h ? h : 1;
}

#endif
