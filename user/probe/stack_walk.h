/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stack_walk.h - goes on with a walk that the kernel could not finish, in its copy of the stack
 * (struct mw_ev_copy), by the very steps that the kernel takes (bpf/unwind_step.h). Pure.
 */
#ifndef PROBE_STACK_WALK_H
#define PROBE_STACK_WALK_H

#include <stdint.h>

#include "elf/unwind_table.h"
#include "memwatch/wire.h"
#include "probe/copied_stacks.h"
#include "probe/vma_lists.h"

struct stack_walk_source {
	const struct copied_stack *stack; /* with the event's chunks */
	const struct vma_list *maps;	  /* of the process; NULL: not known */
	/* The words of a file's table (*ret NULL: it is known to have none), or -ENOENT: not known
	 * yet. */
	int (*table)(void *arg, const struct mw_unwind_key *key, const uint64_t **ret);
	/* Words of a frame of generated code (memwatch/jvm.h); NULL: none is known. */
	uint32_t (*code_words)(void *arg, uint64_t pc);
	void *arg;
	uint32_t max_frames; /* at most MW_MAX_FRAMES */
};

/*
 * All frames of the stack into pc (room for MW_MAX_FRAMES), those of the copy first. How it ended;
 * MW_STACK_NO_TABLE and MW_STACK_NO_MAPPING: another look at the process may help.
 */
enum mw_stack_end stack_walk__finish(const struct stack_walk_source *src,
				     const struct mw_ev_copy *ev, uint64_t *pc, uint32_t *ret_n);

/* The kernel's id of these frames in the event's process. */
uint64_t stack_walk__id(const struct mw_ev_copy *ev, const uint64_t *pc, uint32_t n);

#endif
