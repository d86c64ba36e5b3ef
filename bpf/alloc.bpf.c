// SPDX-License-Identifier: GPL-2.0-only
/*
 * alloc.bpf.c - probes of the allocator family.
 *
 * An allocation is decided at its entry (sampled or not) and settled at its return, where the
 * address is known; only sampled calls ask for the return probe where the kernel has session
 * uprobes. Between the two the call waits in its thread's state. A block is in the profile with
 * both its allocation and its free, or with neither: in sampled mode `live` holds the blocks that
 * are in, and only their frees are sent; in exact mode every free is sent.
 */
#include "alloc_events.h"
#include "alloc_call.h"
#include "alloc_live.h"
#include "alloc_thread.h"
#include "stack.h"
#include "sample.h"

/* Where a stub hands over the block. */
#if defined(__TARGET_ARCH_x86)
#define MW_FAST_BLOCK(ctx) ((ctx)->r10)
#else
#define MW_FAST_BLOCK(ctx) PT_REGS_RC(ctx) /* no stubs there */
#endif

struct mw_alloc_config alloc_config = {.sample_bytes = 512 << 10, .wake_bytes = 1 << 20};

/* Of each target: its samples are 2^this times as many bytes apart as config says. */
__u8 alloc_thin[MW_MAX_TARGETS];

#define TIMED_MASK 63		/* one free in 64 is timed */
#define MOST_FREE_NS 20000	/* with nothing in the caches */
#define ALWAYS_THERE (64 << 10) /* bytes that the smallest of address spaces has */

static __always_inline bool exact(void)
{
	return alloc_config.sample_bytes <= 1;
}

static __always_inline int send_alloc(u32 target, u8 fn, u64 addr, u64 size, u64 stack, u64 time_ns)
{
	struct mw_ev_alloc *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev) {
		lost_bytes(target, MW_LOSS_ALLOC_RING, size);
		return -1;
	}
	ev->hdr.type = MW_EV_ALLOC;
	ev->hdr.kind = fn;
	ev->hdr.target = target;
	ev->hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->hdr.time_ns = time_ns;
	ev->addr = addr;
	ev->size = size;
	ev->stack = stack;
	bpf_ringbuf_submit(ev, wake_flags(time_ns));
	return 0;
}

/* A call that was left by a jump. operator new has thrown: the call has failed. */
static __always_inline void drop_pending(struct pending *p)
{
	if (!does(p->fn, MW_DOES_THROW)) {
		lost(p->target, MW_LOSS_PENDING);
		return;
	}
	count(p->target, MW_C_ALLOCS, -1);
	count(p->target, MW_C_ALLOC_BYTES, -p->size);
	count(p->target, MW_C_FAILED_ALLOCS, 1);
}

/*
 * Drops calls that never returned (longjmp, exceptions, lost return probes). A call is still
 * running while the kernel's trampoline stands in its return slot. True if the innermost running
 * call encloses this one, that is if this one is nested. operator new has no trampoline; while
 * its return address is there it may be running, and what it calls is known by called_by_family.
 */
static __always_inline bool inside_pending(struct thread *t, u64 sp)
{
	struct pending *p;
	u64 word = 0;
	u32 top;

	for (int i = 0; i < MAX_PENDING; i++) {
		if (!t->depth)
			return false;
		top = t->depth - 1;
		if (top >= MAX_PENDING)
			return false;
		p = &t->p[top];
		bpf_probe_read_user(&word, sizeof(word), (void *)p->sp);
		if (does(p->fn, MW_DOES_THROW)) {
			if (word == p->arg && sp < p->sp)
				return false;
		} else if (word && word == trampoline()) {
			/* Below it on the same stack: nested. Above: another stack (a handler). */
			return sp <= p->sp;
		}
		t->depth--;
		drop_pending(p);
	}
	return false;
}

/* May this call be made by operator new? No trampoline tells, so its caller has to be looked at. */
static __always_inline bool inside_new(struct thread *t)
{
	u32 top = t->depth - 1;

	return top < MAX_PENDING && does(t->p[top].fn, MW_DOES_THROW);
}

/* The part of the entry that only calls bound for the profile reach. 1: no return probe. */
static __noinline int alloc_enter_slow(struct pt_regs *ctx, u64 cookie, u64 size, u32 sampled)
{
	u32 target = MW_COOKIE_TARGET(cookie), top;
	u8 fn = MW_COOKIE_FN(cookie);
	u64 sp = PT_REGS_SP(ctx);
	struct thread *t;
	struct pending *p;

	t = thread_get(target);
	if (!t)
		return 1;
	if (inside_pending(t, sp) ||
	    ((!exact() || inside_new(t)) && called_by_family(ctx, MW_COOKIE_SITE(cookie)))) {
		count(target, MW_C_NESTED, 1);
		count(target, MW_C_ALLOCS, -1);
		count(target, MW_C_ALLOC_BYTES, -size);
		return 1;
	}
	top = t->depth;
	if (top >= MAX_PENDING) {
		lost(target, MW_LOSS_DEPTH);
		return 1;
	}
	p = &t->p[top];
	p->sp = sp;
	p->size = size;
	p->target = target;
	p->fn = fn;
	p->flags = sampled ? PENDING_SAMPLED : 0;
	p->arg = old_block(ctx, fn);
	p->extra = PT_REGS_PARM3(ctx);
	if (does(fn, MW_DOES_THROW))
		bpf_probe_read_user(&p->arg, sizeof(p->arg), (void *)sp);
	p->old_size = 0;
	if (is_realloc(fn) && p->arg) {
		count(target, MW_C_FREES, 1);
		count(target, MW_C_REALLOCS, 1);
		if (exact() || live_take(target, p->arg, &p->old_size)) {
			/* The old block may be handed to another thread before this call returns,
			 * so it is given up now and restored if the call turns out to have failed.
			 */
			if (!send_free(target, MW_EV_FREE, fn, p->arg, MW_FREE_REALLOC)) {
				p->flags |=
					exact() ? PENDING_OLD_IN : PENDING_OLD_IN | PENDING_TAKEN;
				count(target, MW_C_SAMPLED_FREES, 1);
			} else {
				lost(target, MW_LOSS_FREE_RING);
			}
		}
	}
	t->depth = top + 1;
	return 0;
}

static __always_inline bool old_is_live(u32 target, u64 addr)
{
	u64 key = MW_LIVE_KEY(target, addr);

	return addr && live_find(&key);
}

/* Does this call go on to malloc by a jump? Then malloc's probe sees it, and it alone. */
static __always_inline bool goes_on(struct pt_regs *ctx, u8 fn, u32 site)
{
	u64 a = PT_REGS_PARM1(ctx), b = PT_REGS_PARM2(ctx);
	struct mw_site *s;

	barrier_var(a); /* two reads, not one through a chosen pointer */
	barrier_var(b);
	if (!site ||
	    (fn == MW_FN_REALLOC ? a != 0 : fn != MW_FN_MEMALIGN && fn != MW_FN_POSIX_MEMALIGN))
		return false;
	s = bpf_map_lookup_elem(&alloc_sites, &site);
	if (!s)
		return false;
	if (fn == MW_FN_REALLOC)
		return s->null_goes_on;
	return (fn == MW_FN_MEMALIGN ? a : b) <= s->align_goes_on;
}

/* Probes are in for a little longer than what they see counts (user/run/windows.c). */
static __always_inline bool in_window(void)
{
	return !alloc_config.until_ns || bpf_ktime_get_ns() < alloc_config.until_ns;
}

/* Links of one that ran in a target's memory are there for a moment longer than it does that. */
static __always_inline bool is_stranger(void)
{
	return alloc_config.sharers && !current_target();
}

static __always_inline u64 sample_bytes_of(u32 target)
{
	return alloc_config.sample_bytes << (alloc_thin[target & (MW_MAX_TARGETS - 1)] & 63);
}

/* 0: settle this call at its return. 1: nothing more to do. */
static __always_inline int alloc_enter(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), size, old;
	u32 target = MW_COOKIE_TARGET(cookie);
	u8 fn = MW_COOKIE_FN(cookie);
	struct mw_counters *c;
	u32 sampled;

	if (!alloc_config.sample_bytes || is_stranger())
		return 1;
	if (cookie & MW_COOKIE_STEPPED)
		count(target, MW_C_STEPPED, 1);
	if (nested_quick(ctx, cookie) || goes_on(ctx, fn, MW_COOKIE_SITE(cookie)))
		return 1;
	size = requested(ctx, fn);
	c = counters_of(target);
	if (!c)
		return 1;
	__sync_fetch_and_add(&c->v[MW_C_ALLOCS], 1);
	__sync_fetch_and_add(&c->v[MW_C_ALLOC_BYTES], size);
	sampled = in_window() && sample_decide(size, sample_bytes_of(target));
	if (!sampled) {
		if (!is_realloc(fn))
			return 1;
		old = old_block(ctx, fn);
		if (!old_is_live(target, old)) {
			if (old) {
				__sync_fetch_and_add(&c->v[MW_C_FREES], 1);
				__sync_fetch_and_add(&c->v[MW_C_REALLOCS], 1);
			}
			return 1;
		}
	}
	return alloc_enter_slow(ctx, cookie, size, sampled);
}

/* The old block of a realloc that failed is still there. */
static __always_inline void restore_old(struct pending *p)
{
	u64 key;

	if (!p->arg)
		return;
	count(p->target, MW_C_FREES, -1);
	count(p->target, MW_C_REALLOCS, -1);
	if (!(p->flags & PENDING_OLD_IN))
		return;
	count(p->target, MW_C_SAMPLED_FREES, -1);
	if (send_free(p->target, MW_EV_UNFREE, p->fn, p->arg, 0))
		lost_bytes(p->target, MW_LOSS_ALLOC_RING, p->old_size); /* it counts as freed */
	if (!(p->flags & PENDING_TAKEN))
		return;
	key = MW_LIVE_KEY(p->target, p->arg);
	if (live_put(&key, &p->old_size))
		lost(p->target, MW_LOSS_FREE_LIVE); /* its free will not be told */
}

/*
 * What a resize in place came to: *size is what the block holds now of what was asked for. False
 * if it was refused and the block is as it was. The allocator tells the size of its class, which
 * is at most a quarter above what was asked for; more is what the block had before.
 */
static __always_inline bool resized(const struct pending *p, u64 real, u64 *size)
{
	u64 most = p->size + p->extra;

	if (real < p->size || most < p->size || real > most + most / 4 + 64)
		return false;
	*size = real < most ? real : most;
	return true;
}

/* More bytes than the whole address space has cannot have been handed out. Every program has more
 * than the first few, and looking costs two reads of the kernel's memory. */
static __always_inline bool implausible(u64 size)
{
	struct task_struct *task;
	u64 pages;

	if (size < ALWAYS_THERE)
		return false;
	task = (void *)bpf_get_current_task();
	pages = BPF_CORE_READ(task, mm, total_vm);
	return pages && size >> 12 > pages;
}

static __always_inline void block_born(struct pt_regs *ctx, struct pending *p, u64 addr,
				       u64 time_ns, u32 leaf)
{
	u32 target = p->target;
	u64 key = MW_LIVE_KEY(target, addr), stack;

	if (addr >> MW_ADDR_BITS) {
		lost(target, MW_LOSS_ADDRESS);
		return;
	}
	if (implausible(p->size)) {
		lost(target, MW_LOSS_SIZE);
		count(target, MW_C_ALLOCS, -1);
		count(target, MW_C_ALLOC_BYTES, -p->size);
		return;
	}
	count(target, MW_C_SAMPLED_ALLOCS, 1);
	if (!exact() && live_put(&key, &p->size)) {
		lost_bytes(target, MW_LOSS_LIVE_FULL, p->size);
		return;
	}
	stack = stack_id(ctx, target, epoch_of(target), leaf);
	if (send_alloc(target, p->fn, addr, p->size, stack, time_ns) && !exact())
		live_drop(&key);
}

/* at_ret: the probe is on a ret instruction, about to be executed; else the call has returned. */
static __noinline int alloc_exit(struct pt_regs *ctx, u32 at_ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid(), top;
	u64 sp = PT_REGS_SP(ctx) - (at_ret ? 0 : 8), addr = PT_REGS_RC(ctx);
	struct thread *t = bpf_map_lookup_elem(&alloc_threads, &tid);
	struct pending p;
	u64 began, asked;

	if (!t)
		return 0;
	/* Calls above this one on the list never returned: they were left by a jump. */
	for (int i = 0;; i++) {
		top = t->depth - 1;
		if (i >= MAX_PENDING || top >= MAX_PENDING)
			return 0;
		p = t->p[top];
		if (p.sp == sp)
			break;
		if (p.sp > sp)
			return 0; /* an unsampled call inside a handler's or an older frame */
		t->depth = top;
		drop_pending(&p);
	}
	if (at_ret != does(p.fn, MW_DOES_THROW))
		return 0; /* another function's way out leads over the same instruction */
	t->depth = top;
	began = bpf_ktime_get_ns();
	if (p.fn == MW_FN_POSIX_MEMALIGN) {
		if ((int)addr || bpf_probe_read_user(&addr, sizeof(addr), (void *)p.arg))
			addr = 0;
	}
	if (does(p.fn, MW_DOES_RESIZE)) {
		asked = p.size;
		addr = resized(&p, addr, &p.size) ? p.arg : 0;
		count(p.target, MW_C_ALLOC_BYTES, p.size - asked);
	}
	/* A call that was under way when the probes were stopped has not taken place: another
	 * thread's free of the block that it was given may have gone unseen since. */
	if (!addr || !alloc_config.sample_bytes) {
		count(p.target, MW_C_ALLOCS, -1);
		count(p.target, MW_C_ALLOC_BYTES, -p.size);
		/* realloc(p, 0) that returns NULL has freed p; any other NULL is a failure, and
		 * reallocf frees p then, too. */
		if (is_realloc(p.fn) && !does(p.fn, MW_DOES_REALLOCF) && (p.size || !p.arg))
			restore_old(&p);
		if (!addr && p.size && !does(p.fn, MW_DOES_RESIZE))
			count(p.target, MW_C_FAILED_ALLOCS, 1);
		return 0;
	}
	if (p.flags & PENDING_SAMPLED)
		block_born(ctx, &p, addr, began, at_ret ? MW_LEAF_INSIDE : MW_LEAF_RET);
	count(p.target, MW_C_RETURNS, 1);
	if (!(began >> 5 & 15)) /* one in sixteen is timed, for all */
		count(p.target, MW_C_SAMPLE_NS, (bpf_ktime_get_ns() - began) * 16);
	return 0;
}

/* Does this thread wait for the return of an allocation that encloses this call? */
static __noinline bool inside_call(u64 sp)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct thread *t = bpf_map_lookup_elem(&alloc_threads, &tid);

	return t && t->depth && inside_pending(t, sp);
}

/*
 * How far from the caches all is that a hit works on, the kernel's and the target's: how long a free
 * takes here, a word beside its block that is read, too (not in the two lines that are fetched
 * together). What a trap takes from its target beside its own time follows that
 * (user/observe/cost.c).
 */
static __noinline u64 begin_timed(u64 addr)
{
	u64 began = bpf_ktime_get_ns(), word;

	if (bpf_probe_read_user(&word, sizeof(word), (void *)(addr ^ 128)))
		return 0;
	return began;
}

static __noinline void end_timed(u32 target, u64 began)
{
	u64 took = bpf_ktime_get_ns() - began;

	if (took >= MOST_FREE_NS) /* interrupted */
		return;
	count(target, MW_C_TIMED_FREES, 1);
	count(target, MW_C_TIMED_FREE_NS, took);
}

static __always_inline void free_counted(struct pt_regs *ctx, u64 cookie, struct mw_counters *c)
{
	u64 addr = PT_REGS_PARM1(ctx);
	u32 target = MW_COOKIE_TARGET(cookie);
	u64 key = MW_LIVE_KEY(target, addr);

	if (nested_quick(ctx, cookie))
		return;
	__sync_fetch_and_add(&c->v[MW_C_FREES], 1);
	if (exact()) {
		if (MW_COOKIE_SITE(cookie) && (inside_call(PT_REGS_SP(ctx)) ||
					       called_by_family(ctx, MW_COOKIE_SITE(cookie)))) {
			count(target, MW_C_FREES, -1);
			return;
		}
		if (!send_free(target, MW_EV_FREE, MW_FN_FREE, addr, 0))
			count(target, MW_C_SAMPLED_FREES, 1);
		else
			lost(target, MW_LOSS_FREE_RING);
		return;
	}
	if (!live_find(&key))
		return;
	/* A free that cannot be sent stays in `live`: the next free at this address repairs it. */
	if (send_free(target, MW_EV_FREE, MW_FN_FREE, addr, 0)) {
		lost(target, MW_LOSS_FREE_RING);
		return;
	}
	live_drop(&key);
	count(target, MW_C_SAMPLED_FREES, 1);
}

static __always_inline int free_enter(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), addr = PT_REGS_PARM1(ctx), began = 0;
	u32 target = MW_COOKIE_TARGET(cookie);
	struct mw_counters *c;

	if (!alloc_config.sample_bytes || is_stranger())
		return 0;
	c = counters_of(target);
	if (!c)
		return 0;
	if (cookie & MW_COOKIE_STEPPED)
		__sync_fetch_and_add(&c->v[MW_C_STEPPED], 1);
	if (!addr) {
		__sync_fetch_and_add(&c->v[MW_C_NULL_FREES], 1);
		return 0;
	}
	if (!(c->v[MW_C_FREES] & TIMED_MASK))
		began = begin_timed(addr);
	free_counted(ctx, cookie, c);
	if (began)
		end_timed(target, began);
	return 0;
}

extern bool bpf_session_is_return(void) __ksym __weak;

/* Session uprobe (Linux 6.13): one program for both ends, the return only where asked for. */
SEC("?uprobe")
int mw_alloc_session(struct pt_regs *ctx)
{
	if (!bpf_session_is_return)
		return 1;
	if (bpf_session_is_return())
		return alloc_exit(ctx, 0);
	return alloc_enter(ctx);
}

/* Without sessions: a probe for each end; the return fires on every call. */
SEC("?uprobe")
int mw_alloc_entry(struct pt_regs *ctx)
{
	/* The return of a call that is not followed comes too: it must not pass for that of one
	 * which was left by a jump at this very place of the stack. */
	if (alloc_enter(ctx))
		inside_call(PT_REGS_SP(ctx));
	return 0;
}

SEC("?uretprobe")
int mw_alloc_return(struct pt_regs *ctx)
{
	return alloc_exit(ctx, 0);
}

/* On the ret instructions of functions that throw: operator new. */
SEC("?uprobe")
int mw_alloc_ret(struct pt_regs *ctx)
{
	count(MW_COOKIE_TARGET(bpf_get_attach_cookie(ctx)), MW_C_RETS, 1);
	return alloc_exit(ctx, 1);
}

SEC("?uprobe")
int mw_alloc_free(struct pt_regs *ctx)
{
	return free_enter(ctx);
}

/*
 * Sites of stubs inside the target (user/fast/stub_code.c): what comes here was decided there, and
 * its block is in the stub's own table. What is not in `live` was not sent, so neither is its free.
 */
SEC("?uprobe")
int mw_fast_alloc(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), now = bpf_ktime_get_ns();
	struct pending p = {.size = PT_REGS_PARM1(ctx)};
	u32 site = MW_COOKIE_SITE(cookie);

	p.target = MW_COOKIE_TARGET(cookie);
	p.fn = MW_COOKIE_FN(cookie);
	if (!alloc_config.sample_bytes)
		return 0;
	if (site && called_by_family(ctx, site)) {
		count(p.target, MW_C_NESTED, 1);
		return 0;
	}
	count(p.target, MW_C_ALLOCS, 1);
	count(p.target, MW_C_ALLOC_BYTES, p.size);
	block_born(ctx, &p, MW_FAST_BLOCK(ctx), now, MW_LEAF_RET | MW_LEAF_STUB);
	count(p.target, MW_C_SAMPLE_NS, bpf_ktime_get_ns() - now);
	return 0;
}

SEC("?uprobe")
int mw_fast_free(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), addr = PT_REGS_PARM1(ctx);
	u32 target = MW_COOKIE_TARGET(cookie);
	u64 key = MW_LIVE_KEY(target, addr), *size;
	u8 fn = MW_COOKIE_FN(cookie);
	struct thread *t;

	if (!alloc_config.sample_bytes)
		return 0;
	count(target, MW_C_FREES, 1);
	t = is_realloc(fn) ? thread_get(target) : NULL;
	if (t)
		t->given = 0;
	size = live_find(&key);
	if (!size)
		return 0;
	if (t)
		t->given_size = *size;
	if (send_free(target, MW_EV_FREE, fn, addr, is_realloc(fn) ? MW_FREE_REALLOC : 0)) {
		lost(target, MW_LOSS_FREE_RING);
		return 0;
	}
	live_drop(&key);
	count(target, MW_C_SAMPLED_FREES, 1);
	if (t)
		t->given = addr;
	return 0;
}

SEC("?uprobe")
int mw_fast_unfree(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), addr = PT_REGS_PARM2(ctx);
	u32 target = MW_COOKIE_TARGET(cookie), tid = (u32)bpf_get_current_pid_tgid();
	struct thread *t = bpf_map_lookup_elem(&alloc_threads, &tid);
	u64 key = MW_LIVE_KEY(target, addr), size;

	if (!alloc_config.sample_bytes)
		return 0;
	count(target, MW_C_FREES, -1);
	if (!t || t->given != addr)
		return 0; /* nobody was told of the free, either */
	t->given = 0;
	size = t->given_size;
	count(target, MW_C_SAMPLED_FREES, -1);
	if (send_free(target, MW_EV_UNFREE, MW_COOKIE_FN(cookie), addr, 0))
		lost_bytes(target, MW_LOSS_ALLOC_RING, size); /* it counts as freed */
	if (live_put(&key, &size))
		lost(target, MW_LOSS_FREE_LIVE); /* its free will not be told */
	return 0;
}

/* A thread is gone, and with it its state. */
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(mw_alloc_thread_exit, struct task_struct *task)
{
	u32 tid = task->pid;

	bpf_map_delete_elem(&alloc_threads, &tid);
	return 0;
}
