/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_heap.h - the heap profile that the Go runtime keeps of itself, read from outside: the same
 * records, values and stacks as runtime/pprof's heap profile at the same moment.
 *
 * The runtime publishes a profile at the end of each GC cycle (`active`) and collects the next
 * ones beside it (`future`). While it publishes, a reader would see some records before and some
 * after; go_heap__read notices that and reads again.
 */
#ifndef GO_GO_HEAP_H
#define GO_GO_HEAP_H

#include "go/go_target.h"
#include "model/profile.h"

#include <stdint.h>

struct go_bucket { /* one stack and one size of block */
	uint64_t size;
	uint32_t stack0, nstack; /* into go_heap.stack: return addresses, leaf first */
	uint64_t allocs, frees, alloc_bytes, free_bytes; /* sampled, not scaled */
};

struct go_heap {
	struct go_bucket *buckets; /* newest first, as the runtime lists them */
	size_t nbuckets, buckets_cap;
	uint64_t *stack;
	size_t nstack, stack_cap;
	uint64_t rate;	  /* runtime.MemProfileRate */
	uint32_t cycle;	  /* of the profile (mProfCycle) */
	bool before_gc;	  /* no GC yet: everything allocated so far is counted, as Go does */
	uint32_t tries;	  /* readings it took */
	uint32_t torn;	  /* records that were read again because their numbers disagreed */
	uint32_t damaged; /* records that are none: the profile is refused */
};

/* What the reading needs to know; all addresses are the target's. */
struct go_heap_source {
	struct go_reader fresh;	 /* sees the memory as it is now */
	struct go_reader cached; /* may see each part as it was at its first reading; NULL: fresh */
	void (*forget)(
		void *arg); /* empties what `cached` remembers; NULL if it remembers nothing */
	uint64_t mbuckets, mprof_cycle, mem_active_lock, mem_profile_rate;
	struct go_layout_rec rec;
	uint32_t max_stack; /* deepest stack that this release records */
};

/*
 * 0; -EAGAIN: the runtime published at every attempt; -EBADMSG: the records are damaged
 * (ret->damaged says how many were met); -ESRCH: the process went away; -ENOMEM, -E2BIG.
 * ret is initialised by this call and freed by go_heap__free in every case.
 */
int go_heap__read(const struct go_heap_source *src, struct go_heap *ret);
void go_heap__free(struct go_heap *h);

/* The estimate of what a sample of `count` blocks and `size` bytes stands for, as Go computes it.
 */
void go_heap__scale(int64_t count, int64_t size, int64_t rate, int64_t *ret_count,
		    int64_t *ret_size);

/* Reads the target's profile through a cache of its memory; 0 or as go_heap__read. */
int go_heap__of(const struct go_target *t, struct procmem_cache *cache, struct go_heap *ret);

/* A reading before and the samples made of it, one a record, by the same go_stacks. */
struct go_heap_named {
	struct go_heap heap;
	const struct profile_sample *samples;
	const uint32_t *stack;
};

/* Its samples as pprof's heap profile of Go has them, and totals, into a profile of these types
 * without samples. Records that were there before (all zero: none were) are not named again. 0 or
 * -errno. */
struct go_stacks;
int go_heap__add(struct go_stacks *s, const struct go_heap *h, const struct go_heap_named *before,
		 struct profile *p);

#endif
