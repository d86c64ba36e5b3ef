/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unwind.h - walks user stacks by unwind tables (memwatch/unwind_row.h), so that programs built
 * without frame pointers have complete stacks.
 *
 * Frame by frame: the mapping that holds the pc (bpf_find_vma) gives a file, the file its table,
 * the table a row, the row the caller's registers. Code without a table (JIT, hand-written
 * assembly) is walked by its frame pointer. Return addresses that a return probe replaced are
 * taken from the kernel's own record of them. How a walk ended is said by enum mw_stack_end.
 *
 * Needs Linux 5.17 (bpf_find_vma); without `unwind_on` nothing of it is verified or run.
 */
#ifndef BPF_UNWIND_H
#define BPF_UNWIND_H

#include "stack.h"
#include "memwatch/unwind_row.h"
#include "unwind_step.h"

#define MW_UNWIND_TABLES 2048	  /* files with a table at one time */
#define MW_UNWIND_FILES 8192	  /* files known, with a table or known to have none */
#define MW_UNWIND_VMA_CACHE 8192  /* power of two */
#define MW_UNWIND_ROW_CACHE 16384 /* power of two */
#define MW_UNWIND_JVMS 256
#define MW_COPIED_STACKS 256 /* threads whose last copy the receiver still has */
#define MW_UNWIND_WINDOW 32  /* words of user stack read at a time */

/* A mapping, as bpf_find_vma shows it or as it was seen before. */
struct unwind_found {
	u64 start, end, off;
	struct mw_unwind_key key;
	u32 exec, anon;
};

/* One walk; as many as there are scratch slots. */
struct mw_unwind_state {
	struct mw_walk w;
	u64 ret_inst; /* next of the kernel's records of replaced return addresses */
	u64 win_base; /* user address of win[0] */
	u64 win[MW_UNWIND_WINDOW];
	struct unwind_found found; /* by the last look-up */
	u32 epoch;
	u32 pad;
};
struct mw_unwind_states_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_SCRATCH_SLOTS);
	__type(key, u32);
	__type(value, struct mw_unwind_state);
};
extern struct mw_unwind_states_map unwind_states SEC(".maps");

/* The kernel's look-up of pc's mapping into the slot's state: 0, or its error. */
int unwind_look_up(u32 slot, u64 pc);

/* All states together stay below 32 KiB: larger maps lie in vmalloc memory, where the kernel's
 * check of every copy from user space takes a lock and searches a tree. */
_Static_assert(sizeof(struct mw_unwind_state) * MW_SCRATCH_SLOTS <= 32256, "see above");

#endif
