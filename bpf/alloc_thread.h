/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * alloc_thread.h - what a thread is in the middle of: calls of the family between their entry and
 * their return, calls of layers over other allocators; and so, which calls are nested in others.
 */
#ifndef BPF_ALLOC_THREAD_H
#define BPF_ALLOC_THREAD_H

#include "alloc_call.h"
#include "alloc_events.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_MAX_SITES);
	__type(key, u32);
	__type(value, struct mw_site);
} alloc_sites SEC(".maps");

/* A call between its entry and its return. */
struct pending {
	u64 sp;	  /* at entry: where the return address is */
	u64 size; /* bytes asked for */
	u64 arg;  /* realloc: old block; posix_memalign: where the result goes; new: return address
		   */
	u64 old_size; /* realloc, sampled mode: size of the old block if it was in the profile */
	u64 extra;    /* a resize in place: how many bytes more would be welcome */
	u16 target;
	u8 fn;
	u8 flags;
	u32 pad;
};
#define PENDING_SAMPLED 1 /* the new block goes into the profile */
#define PENDING_OLD_IN 2  /* the old block was in the profile and its free has been sent */
#define PENDING_TAKEN 4	  /* … and the block was taken out of `live` */
#define MAX_PENDING 4	  /* deeper only when signal handlers on stacks of their own allocate */

/* A call of a module that lies over other allocators: what it asks of them is no call of its own.
 */
struct layer_call {
	u64 sp;	   /* at entry: where the return address is; 0: none */
	u64 ret;   /* that address */
	u64 ip;	   /* of the probe */
	u64 first; /* ip of the call from which jumps led here: its own where none did */
	u64 site;  /* whose row tells the layer's code */
};
#define MAX_LAYERS \
	8 /* a power of two; deeper only when what a layer calls allocates through it again */

struct thread {
	u32 depth;
	u32 nlayers;
	struct layer_call layer[MAX_LAYERS];
	struct pending p[MAX_PENDING];
	/* The old block of the last realloc of a stub (mw_fast_free), if its free was told. */
	u64 given; /* 0: it was not */
	u64 given_size;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct thread);
} alloc_threads SEC(".maps");

static const struct thread no_thread;

/*
 * The last thread on this CPU that entered a function which calls others of the family: only its
 * calls can be nested, so only they pay for looking at their return address (a read of user
 * memory costs as much as the rest of the program). A thread that moves to another CPU between
 * the two escapes the quick test; calls bound for the profile are tested in full.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} alloc_callers SEC(".maps");

static __always_inline u32 *caller_mark(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&alloc_callers, &zero);
}

/* Where the kernel's return-probe trampoline is in this process: the beginning of a page. */
static __always_inline u64 trampoline(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);
}

#define REPLACED_MAX 16 /* calls with a return probe that are looked through */

/*
 * The return address that a return probe has replaced at this place of the stack, 0 if none has.
 * The function that came here by a jump was probed: its caller is who calls. A session's probe that
 * is meant for another process makes the kernel put the trampoline into every call of this one.
 */
static __noinline u64 replaced_return(u64 at)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct uprobe_task *utask = BPF_CORE_READ(task, utask);
	struct return_instance *ri = utask ? BPF_CORE_READ(utask, return_instances) : NULL;

	for (int i = 0; i < REPLACED_MAX && ri; i++) {
		if (BPF_CORE_READ(ri, stack) == at)
			return BPF_CORE_READ(ri, orig_ret_vaddr);
		ri = BPF_CORE_READ(ri, next);
	}
	return 0;
}

/* The return address of the call that begins. 0 or -1: not readable. */
static __always_inline int return_address(struct pt_regs *ctx, u64 *ret)
{
	if (bpf_probe_read_user(ret, sizeof(*ret), (void *)PT_REGS_SP(ctx)))
		return -1;
	if (!(*ret & 0xfff) && *ret == trampoline())
		*ret = replaced_return(PT_REGS_SP(ctx));
	return 0;
}

/* Is this call made by another allocator function of the same module? */
static __always_inline bool called_by_family(struct pt_regs *ctx, u32 site)
{
	struct mw_site *s = bpf_map_lookup_elem(&alloc_sites, &site);
	u64 ret = 0;
	s64 d;

	if (!s || !s->ncallers)
		return false;
	if (return_address(ctx, &ret))
		return false;
	d = (s64)(ret - PT_REGS_IP(ctx));
#pragma unroll
	for (int i = 0; i < MW_SITE_CALLERS; i++) {
		if (i < (int)s->ncallers && d >= s->caller[i].lo && d < s->caller[i].hi)
			return true;
	}
	return false;
}

static __always_inline struct thread *thread_get(u32 target)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct thread *t = bpf_map_lookup_elem(&alloc_threads, &tid);

	if (t)
		return t;
	if (bpf_map_update_elem(&alloc_threads, &tid, &no_thread, BPF_NOEXIST))
		lost(target, MW_LOSS_THREAD_FULL);
	return bpf_map_lookup_elem(&alloc_threads, &tid);
}

static __always_inline bool in_layer_code(const struct layer_call *l, u64 addr)
{
	u32 site = l->site;
	struct mw_site *s = bpf_map_lookup_elem(&alloc_sites, &site);
	s64 d = addr - l->ip;

	if (!s)
		return false;
	for (int i = 0; i < MW_SITE_LAYER; i++) {
		if (i < (int)s->nlayer && d >= s->layer[i].lo && d < s->layer[i].hi)
			return true;
	}
	return false;
}

/* Is the call made from inside this one, which may have returned long ago? 1 yes, 0 no, -1: it has
 * returned. */
static __always_inline int inside_layer(const struct layer_call *l, struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx), word = 0, ret = 0;

	if (sp > l->sp || bpf_probe_read_user(&word, sizeof(word), (void *)l->sp) ||
	    (word != l->ret && word != trampoline()))
		return -1;
	if (sp == l->sp) /* by a jump, or the same place calls the layers again */
		return PT_REGS_IP(ctx) != l->ip && PT_REGS_IP(ctx) != l->first ? 1 : -1;
	if (return_address(ctx, &ret))
		return 0;
	return in_layer_code(l, ret);
}

static __always_inline struct layer_call *layer_at(struct thread *t, u32 i)
{
	barrier_var(i); /* or clang drops the mask, which the verifier needs */
	return &t->layer[i & (MAX_LAYERS - 1)];
}

/*
 * Does a layer over this allocator make this call (a preloaded wrapper, an own malloc over the C
 * library's)? The thread remembers the layer's calls, sampled or not, so that the decision taken
 * at the outermost one holds for all. Only targets in which there is such a module pay for it.
 */
static __noinline bool nested_in_layer(struct pt_regs *ctx, u64 cookie)
{
	u32 tid = (u32)bpf_get_current_pid_tgid(), n;
	struct thread *t = bpf_map_lookup_elem(&alloc_threads, &tid);
	struct layer_call *l;
	bool nested = false;

	for (int i = 0; t && i < MAX_LAYERS; i++) {
		int r;

		n = t->nlayers;
		if (!n || n > MAX_LAYERS)
			break;
		r = inside_layer(layer_at(t, n - 1), ctx);
		nested = r > 0;
		if (r >= 0)
			break;
		t->nlayers = n - 1;
	}
	if (!(cookie & MW_COOKIE_LAYER))
		return nested;
	if (!t)
		t = thread_get(MW_COOKIE_TARGET(cookie));
	if (!t)
		return nested;
	n = t->nlayers;
	if (n >= MAX_LAYERS)
		return nested;
	l = layer_at(t, n);
	l->sp = PT_REGS_SP(ctx);
	l->ip = PT_REGS_IP(ctx);
	l->first = n && layer_at(t, n - 1)->sp == l->sp ? layer_at(t, n - 1)->first : l->ip;
	l->site = MW_COOKIE_SITE(cookie);
	if (!bpf_probe_read_user(&l->ret, sizeof(l->ret), (void *)l->sp))
		t->nlayers = n + 1;
	return nested;
}

/* The same with the quick test before it. */
static __always_inline bool nested_quick(struct pt_regs *ctx, u64 cookie)
{
	u32 site = MW_COOKIE_SITE(cookie), *mark = caller_mark(), tid;

	if (alloc_config.layers && nested_in_layer(ctx, cookie)) {
		count(MW_COOKIE_TARGET(cookie), MW_C_NESTED, 1);
		return true;
	}
	if (!mark || (!*mark && !(cookie & MW_COOKIE_CALLER)))
		return false;
	tid = (u32)bpf_get_current_pid_tgid();
	if (site && *mark == tid) {
		if (called_by_family(ctx, site))
			return true;
		*mark = 0;
	}
	if (cookie & MW_COOKIE_CALLER)
		*mark = tid;
	return false;
}

#endif
