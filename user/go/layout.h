/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layout.h - where the Go runtime keeps the fields that memwatch reads, by release. A release that
 * is not in the table has no layout: whoever asks refuses, nobody guesses.
 */
#ifndef GO_LAYOUT_H
#define GO_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GO_LAYOUT_NONE UINT32_MAX

/* Byte offsets in the runtime's structs of (almost) the same names; size: of the struct. */
struct go_layout {
	int minor; /* 1.MINOR */
	struct go_layout_md {
		uint32_t text, etext, noptrdata, enoptrbss, gofunc;
	} md;
	struct go_layout_rec {
		uint32_t size, future, alloc_bytes, free_bytes;
	} rec;
	struct go_layout_ms {
		uint32_t stacks_sys, mspan_sys, mcache_sys, buckhash_sys, gc_misc_sys, other_sys,
			last_gc_unix, pause_total_ns, numgc, numforcedgc, gc_cpu_fraction,
			last_heap_in_use;
	} ms;
	struct go_layout_hs {
		uint32_t size, in_stacks, in_work_bufs, in_ptr_bits, tiny_allocs, large_allocs,
			small_allocs, large_frees, small_frees;
	} hs;
	struct go_layout_gc {
		uint32_t gc_percent, memory_limit, heap_live, heap_marked, triggered,
			last_heap_goal, percent_goal, sweep_min_trigger, last_stack_scan,
			max_stack_scan, globals_scan, assist_time, dedicated_time, fractional_time,
			idle_time, heap_in_use, heap_released, heap_free, total_alloc, total_free,
			mapped_ready, size;
	} gc;
	struct go_layout_work {
		uint32_t t_sweep_term, t_mark, t_mark_term, t_end, heap0, heap1, heap2, stwprocs,
			maxprocs, user_forced, cycles, size;
	} work;
	struct go_layout_g {
		uint32_t sched_pc, sched_sp, syscall_sp, syscall_pc, status, goid, wait_reason,
			gopc, startpc, size;
	} g;
	struct go_layout_mheap {
		uint32_t span_inuse, cache_inuse;
	} mheap;
};

/* The layout of a release, or NULL. */
const struct go_layout *go_layout__of(int minor);

/* A release between the oldest and the newest of the table, which differs from its neighbours in
 * offsets alone. */
bool go_layout__is_between(int minor);

/*
 * The same from the debug information of the program itself. For helpers (go_serve.h): the file is
 * the target's. 0; -ENOENT: it has none, or a field is not there.
 */
struct elfobj;
int go_layout__from_dwarf(struct elfobj *e, int minor, struct go_layout *ret);

/* "1.19, 1.22-1.24, 1.26-1.27", for messages. */
const char *go_layout__known(void);

#endif
