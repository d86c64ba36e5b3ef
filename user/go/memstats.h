/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memstats.h - what runtime.ReadMemStats would say, read from outside and without stopping the
 * program. Two things differ from the runtime's answer: blocks that the per-P caches have taken
 * since their last flush are not counted in TotalAlloc, Mallocs and Frees yet (a GC flushes them),
 * and values that change together are read microseconds apart.
 */
#ifndef GO_MEMSTATS_H
#define GO_MEMSTATS_H

#include "go/layout.h"
#include "go/go_target.h"

#include <stdint.h>
#include <stdio.h>

#define GO_NO_MEMORY_LIMIT INT64_MAX

struct go_memstats { /* bytes unless named otherwise; names as in runtime.MemStats */
	uint64_t heap_alloc, heap_sys, heap_inuse, heap_idle, heap_released;
	uint64_t stack_inuse, stack_sys;
	uint64_t mspan_sys, mcache_sys, buckhash_sys, gc_sys, other_sys, sys;
	uint64_t mspan_inuse, mcache_inuse; /* 0 in stripped programs */
	uint64_t total_alloc, mallocs, frees;
	uint64_t next_gc, heap_live, heap_marked;
	uint64_t last_gc_unix_ns, pause_total_ns;
	uint32_t num_gc, num_forced_gc;
	double gc_cpu_fraction;
	int32_t gogc;	    /* percent; -1: off */
	int64_t gomemlimit; /* GO_NO_MEMORY_LIMIT: none */
	uint64_t rss, virt; /* of the process, from the kernel */
	/* Of heap_released, what is still in RSS: freed lazily (GODEBUG=madvdontneed=0). Looked at
	 * only where RSS is well above what the runtime holds. */
	uint64_t lazy_free;
	double gc_per_s;   /* go_memstats__rate; else 0 */
	uint64_t since_ns; /* CLOCK_MONOTONIC: the look that the next rate is counted from, */
	uint32_t since_gc; /* and num_gc then */
};

/* What the runtime's own memory tells; for helpers. 0 or a negative errno (-ESRCH: gone). */
int go_memstats__read(const struct go_target *t, struct go_memstats *ret);
/* The rest, which the kernel tells of the process. */
void go_memstats__add_kernel(int pid, struct go_memstats *m);

/* Fills in m->gc_per_s from the look before, over at least GO_RATE_NS. */
#define GO_RATE_NS 100000000ULL
void go_memstats__rate(struct go_memstats *m, const struct go_memstats *before);

/* The goal of the next GC by the runtime's own formula. Exposed for tests. */
struct go_goal_input {
	uint64_t percent_goal, sweep_min_trigger, triggered, heap_marked;
	uint64_t heap_free, total_alloc, total_free, mapped_ready, memory_limit;
	int minor;
};
uint64_t go_memstats__goal(const struct go_goal_input *in);

/*
 * The ledger: where the process's RSS is, as the runtime accounts for it, and what stands out
 * ("HeapIdle not released", "goroutine stacks kept", memory outside Go). `goroutines`: their
 * number, 0 if unknown.
 */
void go_memstats__print(FILE *f, const struct go_memstats *m, uint64_t goroutines);

/* Only what stands out, a line for each, with a newline before it. */
void go_memstats__print_causes(FILE *f, const struct go_memstats *m, uint64_t goroutines);

/* One JSON object, schema memwatch.gomemstats/1, and a newline. */
void go_memstats__print_json(FILE *f, int pid, int64_t time_unix_ms, const struct go_memstats *m,
			     uint64_t goroutines);

#endif
