/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stack.h - the one way in which every subsystem takes a user stack.
 *
 * stack_id() walks the stack of the current task's user code, hashes it together with the process
 * and its epoch, and sends each distinct stack once as MW_EV_STACK; events then carry the 64-bit
 * id. "Once" is remembered in a direct-mapped table: two stacks that share a slot are sent again
 * in turn, which costs time and never correctness. A stack whose event was lost is not remembered,
 * so it is sent again the next time.
 *
 * Frames are collected in slots with a busy flag, because a program can be preempted by another
 * task on the same CPU.
 */
#ifndef BPF_STACK_H
#define BPF_STACK_H

#include "maps.h"

#define MW_SCRATCH_SLOTS 64
#define MW_SEEN_SLOTS (1 << 17)

struct mw_scratch {
	u32 busy;
	u32 pad;
	struct mw_ev_stack ev;
	u64 pc[MW_MAX_FRAMES]; /* ev.pc */
};

struct mw_scratch_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_SCRATCH_SLOTS);
	__type(key, u32);
	__type(value, struct mw_scratch);
};
extern struct mw_scratch_map stack_scratch SEC(".maps");

struct mw_seen_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_SEEN_SLOTS);
	__type(key, u32);
	__type(value, u64);
};
extern struct mw_seen_map stack_seen SEC(".maps");

/* Takes a free slot; its number, or -1 when all tried were busy. */
static __always_inline int scratch_take(void)
{
	u32 first = bpf_get_smp_processor_id() * 4;

	for (u32 i = 0; i < 4; i++) {
		u32 slot = (first + i) % MW_SCRATCH_SLOTS;
		struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);

		if (s && !__sync_val_compare_and_swap(&s->busy, 0, 1))
			return slot;
	}
	return -1;
}

/* Hashes the frames of a slot: 64 bits, never 0. A global function, verified once. */
u64 stack_hash(u32 slot);

/* The walker by unwind tables (unwind.bpf.c), used where userspace switched it on. */
extern const volatile __u32 unwind_on;
extern const volatile __u32 stack_max_frames; /* at most MW_MAX_FRAMES */
extern const volatile __u32 stack_fp_frames;  /* the kernel's own limit of bpf_get_stack */
u32 unwind_stack(u32 slot);
/* (unwind_copy.bpf.c) Sends what it takes to finish the walk later. The id that stands for the
 * stack until then; 0: nothing could be sent, or not within the budget (then s->ev.hdr.kind says
 * so). */
u64 unwind_copy(u32 slot);

/*
 * How many frames of the current user stack were put into s->pc; s->ev.hdr.kind says how the walk
 * ended. Without tables the kernel's own walk along frame pointers serves.
 */
static __always_inline u32 stack_capture(void *ctx, u32 slot, struct mw_scratch *s)
{
	long n;

	if (unwind_on)
		return unwind_stack(slot);
	n = bpf_get_stack(ctx, s->pc, sizeof(s->pc), BPF_F_USER_STACK);
	if (n <= 0) {
		s->ev.hdr.kind = MW_STACK_FAULT;
		return 0;
	}
	n /= 8;
	s->ev.hdr.kind = n >= stack_fp_frames ? MW_STACK_TRUNCATED : MW_STACK_FP_END;
	if (n > stack_max_frames) {
		s->ev.hdr.kind = MW_STACK_TRUNCATED;
		n = stack_max_frames;
	}
	return n;
}

/*
 * Id of the current user stack, 0 if it could not be had (counted by cause). leaf_ret: the
 * topmost pc is a return address (return probes, system calls).
 */
static __always_inline u64 stack_id(void *ctx, u32 target, u32 epoch, u32 leaf_ret)
{
	struct mw_scratch *s;
	u64 id = 0, *seen, pid_tgid = bpf_get_current_pid_tgid();
	u32 slot, seen_slot, n, end;
	int taken = scratch_take();

	if (taken < 0) {
		count(target, MW_C_STACK_END + MW_STACK_NO_SCRATCH, 1);
		return 0;
	}
	slot = taken;
	s = bpf_map_lookup_elem(&stack_scratch, &slot);
	if (!s)
		return 0;
	s->ev.hdr.type = MW_EV_STACK;
	s->ev.hdr.target = target;
	s->ev.hdr.tid = (u32)pid_tgid;
	s->ev.pid = pid_tgid >> 32;
	s->ev.epoch = epoch;
	s->ev.leaf_ret = leaf_ret;
	n = stack_capture(ctx, slot, s);
	s->ev.n = n;
	if (s->ev.hdr.kind == MW_STACK_NO_TABLE) {
		id = unwind_copy(slot);
		if (id) {
			count(target, MW_C_STACK_END + MW_STACK_COPIED, 1);
			goto out;
		}
	}
	end = MW_C_STACK_END + s->ev.hdr.kind;
	barrier_var(end); /* count() checks the bound on what it uses */
	count(target, end, 1);
	if (!n)
		goto out;
	id = stack_hash(slot);
	seen_slot = id & (MW_SEEN_SLOTS - 1);
	seen = bpf_map_lookup_elem(&stack_seen, &seen_slot);
	if (seen && *seen != id) {
		s->ev.id = id;
		s->ev.hdr.time_ns = bpf_ktime_get_ns();
		if (n > MW_MAX_FRAMES)
			n = MW_MAX_FRAMES;
		if (bpf_ringbuf_output(&events, &s->ev, sizeof(s->ev) + n * 8, BPF_RB_NO_WAKEUP))
			lost(target, MW_LOSS_STACK_RING);
		else
			*seen = id;
	}
out:
	barrier();
	s->busy = 0;
	return id;
}

#endif
