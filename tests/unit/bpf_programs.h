/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf_programs.h - the programs of a heap profile, compiled by bpf_native.h; and calls to them. */
#ifndef TESTS_BPF_PROGRAMS_H
#define TESTS_BPF_PROGRAMS_H

#include "bpf_native.h"

#include "../../bpf/common.bpf.c"
#include "../../bpf/stack.bpf.c"
#include "../../bpf/alloc.bpf.c"
#include "../../bpf/usdt.bpf.c"
#include "../../bpf/proc.bpf.c"
#include "../../bpf/fault.bpf.c"

/* Stacks are those of bpf_get_stack. */
const volatile __u32 unwind_on = 0;
u32 unwind_stack(u32 slot)
{
	return 0;
}

u64 unwind_copy(u32 slot)
{
	return 0;
}

/* A counter of a target. */
static u64 native_count(u32 target, u32 counter)
{
	struct mw_counters *c = bpf_map_lookup_elem(&counters, &target);

	return c ? c->v[counter] : 0;
}

static u64 native_lost(u32 target, enum mw_loss cause)
{
	return native_count(target, MW_C_LOST + cause);
}

/* The current process is under observation as `index`. */
static void native_watch(u32 index)
{
	struct mw_target t = {index};
	u32 tgid = native.task.tgid;

	bpf_map_update_elem(&targets, &tgid, &t, BPF_ANY);
}

/* The session probe at a function's entry. True: the return is asked for. */
static bool native_enter(u32 target, u8 fn, u32 site, u64 flags, struct pt_regs *regs)
{
	native.cookie = MW_COOKIE(target, fn, site) | flags;
	native.is_return = false;
	return !mw_alloc_session(regs);
}

/* The same when it has returned. */
static void native_leave(u32 target, u8 fn, u32 site, struct pt_regs *regs)
{
	native.cookie = MW_COOKIE(target, fn, site);
	native.is_return = true;
	mw_alloc_session(regs);
}

#endif
