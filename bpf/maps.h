/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h - maps and knobs that several subsystems share. They are defined in common.bpf.c; their
 * sizes are set by the plan before loading.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include "kernel.h"
#include "memwatch/wire.h"

/* All events, in order of reservation. */
struct mw_events_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
};
extern struct mw_events_map events SEC(".maps");

#define WOKE_NS 1000000000ULL
extern __u64 events_woke_ns; /* when an event last woke who reads them, more or less */

/* Of an event that is rare: the first in a second wakes who reads, who then looks by himself for
 * those that follow, as long as they come (event_reader.c). */
static __always_inline u64 wake_first(u64 time_ns)
{
	if (time_ns - events_woke_ns < WOKE_NS)
		return BPF_RB_NO_WAKEUP;
	events_woke_ns = time_ns;
	return BPF_RB_FORCE_WAKEUP;
}

/* Counters: one row of MW_C_COUNT per target and one for strangers, per CPU. */
struct mw_counters {
	u64 v[MW_C_COUNT];
};
struct mw_counters_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mw_counters);
};
extern struct mw_counters_map counters SEC(".maps");

/* Processes under observation, by tgid (initial pid namespace): struct mw_target. */
struct mw_targets_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MW_MAX_TARGETS);
	__type(key, u32);
	__type(value, struct mw_target);
};
extern struct mw_targets_map targets SEC(".maps");

/* By target: goes up when the address space changes meaning, so that stacks are sent again. */
struct mw_epochs_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_MAX_TARGETS);
	__type(key, u32);
	__type(value, u32);
};
extern struct mw_epochs_map epochs SEC(".maps");

static __always_inline u32 epoch_of(u32 target)
{
	u32 *epoch = bpf_map_lookup_elem(&epochs, &target);

	return epoch ? *epoch : 0;
}

static __always_inline struct mw_counters *counters_of(u32 target)
{
	return bpf_map_lookup_elem(&counters, &target);
}

/* Atomic, because a per-CPU row is shared by two tasks when the kernel preempts a program. */
static __always_inline void count(u32 target, u32 counter, u64 n)
{
	struct mw_counters *c = counters_of(target);

	if (c && counter < MW_C_COUNT)
		__sync_fetch_and_add(&c->v[counter], n);
}

/* Something is missing from now on: see memwatch/loss.h. */
static __always_inline void lost(u32 target, enum mw_loss cause)
{
	count(target, MW_C_LOST + cause, 1);
}

/* A cause that knows how many bytes are missing. */
static __always_inline void lost_bytes(u32 target, enum mw_loss cause, u64 bytes)
{
	lost(target, cause);
	count(target, MW_C_LOST_BYTES + cause, bytes);
}

static __always_inline struct mw_target *current_target(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&targets, &tgid);
}

/* x86's MM_CONTEXT_UPROBE_IA32, which exec sets before it maps the image; arm64's MMCF_AARCH32. */
#define MM_CONTEXT_32BIT 1

/* Does the task run a 32-bit program? Its stacks and calls mean something else than they seem. */
static __always_inline bool runs_32bit(struct task_struct *task)
{
	return BPF_CORE_READ(task, mm, context.flags) & MM_CONTEXT_32BIT;
}

#endif
