/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf_sim.h - a simulated program around bpf/alloc.bpf.c and bpf/sample.h: threads that call
 * allocators which call each other, lie over each other, resize blocks in place, fail, are left by
 * longjmp and exceptions and interrupted by signal handlers on stacks of their own. What is left
 * out, because the programs cannot know it from addresses alone: a jump out of an allocator that a
 * signal handler on a stack of its own called. Include this once, behind cmocka.h.
 */
#ifndef TESTS_BPF_SIM_H
#define TESTS_BPF_SIM_H

#include "bpf_programs.h"
#include "core/util.h"

#define THREADS 3
#define WORDS 512
#define MAX_DEPTH 6
#define BLOCKS 64
#define TARGET 3
#define STACK_BASE 0x7f0000000000ULL
#define STACK_SPAN 0x100000ULL
#define TEXT 0x500000ULL
#define TEXT_SPAN 0x1000ULL
#define LAYER_TEXT 0x900000ULL /* of the allocator that lies over the other one */
#define LAYER_SITES 64	       /* numbers of its sites: from here on */

/* A call of an allocator that has not returned. */
struct frame {
	u64 slot; /* of its return address */
	u8 fn;
	bool top_level; /* not made from inside another one */
	bool followed;	/* the programs wait for its return */
	bool in_layer;	/* of the allocator above */
	bool in_window; /* may be sampled */
	u64 size, extra, old, ret_addr;
	u64 sp_before;
	bool on_handler_stack;
};

struct sim_thread {
	u64 mem[2][WORDS]; /* its stack, and above it that of its signal handlers */
	u64 sp;
	struct frame frame[MAX_DEPTH];
	u32 depth;
	bool in_handler;
};

struct sim {
	struct sim_thread t[THREADS];
	u64 size_of[BLOCKS]; /* live blocks of the program; 0: free */
	u64 told[BLOCKS];    /* the same by the events */
	u64 held[BLOCKS];    /* size_of when the probes were stopped */
	bool expect_exact, no_sessions, no_new, no_handlers, no_failures;
	bool layers, stopped;
	bool may_sample; /* the call that returns now */
	u32 threads;
	u64 calls, frees, left, thrown, depth_lost; /* what the counters must come to */
	u64 sent_allocs, sent_frees;
	u64 random;
};
static struct sim sim;

static u32 rnd(u32 below)
{
	sim.random ^= sim.random << 13;
	sim.random ^= sim.random >> 7;
	sim.random ^= sim.random << 17;
	return (sim.random >> 16) % below;
}

static u64 stack_base(u32 thread, bool handler)
{
	return STACK_BASE + (thread * 2 + handler) * STACK_SPAN;
}

static u64 *word_at(u64 addr)
{
	u64 n = (addr - STACK_BASE) / STACK_SPAN, at = (addr - STACK_BASE) % STACK_SPAN / 8;

	return addr >= STACK_BASE && n < THREADS * 2 && at < WORDS ? &sim.t[n / 2].mem[n % 2][at]
								   : NULL;
}

static int read_stack(void *to, size_t size, u64 from)
{
	u64 *w = word_at(from);

	if (!w || size != 8)
		return -EFAULT;
	memcpy(to, w, 8);
	return 0;
}

static u32 block_of(u64 addr)
{
	assert_true(addr && addr / 0x1000 <= BLOCKS);
	return addr / 0x1000 - 1;
}

static u64 addr_of(u32 block)
{
	return (block + 1) * 0x1000ULL;
}

/* The order of events at one address is alloc, free, alloc: nothing is told twice. */
static void on_event(const void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;
	const struct mw_ev_alloc *a = data;
	const struct mw_ev_free *f = data;

	switch (hdr->type) {
	case MW_EV_ALLOC:
		assert_true(sim.may_sample && !sim.stopped);
		assert_int_equal(size, sizeof(*a));
		assert_int_equal(hdr->target, TARGET);
		assert_int_equal(hdr->tid, native.task.pid);
		assert_int_equal(sim.told[block_of(a->addr)], 0);
		sim.told[block_of(a->addr)] = a->size;
		sim.sent_allocs++;
		break;
	case MW_EV_FREE:
		assert_true(sim.told[block_of(f->addr)] != 0 || sim.expect_exact);
		sim.told[block_of(f->addr)] = 0;
		sim.sent_frees++;
		break;
	case MW_EV_UNFREE:
		assert_int_equal(sim.told[block_of(f->addr)], 0);
		sim.told[block_of(f->addr)] =
			(sim.stopped ? sim.held : sim.size_of)[block_of(f->addr)];
		sim.sent_frees--;
		break;
	case MW_EV_STACK: break;
	default: fail();
	}
}

static u64 text_of(u8 fn, bool in_layer)
{
	return (in_layer ? LAYER_TEXT : TEXT) + fn * TEXT_SPAN;
}

static u32 site_of(u8 fn, bool in_layer)
{
	return fn + (in_layer ? LAYER_SITES : 0);
}

static void set_sites(void)
{
	static const u8 callers[MW_SITE_CALLERS] = {
		MW_FN_MALLOC,	MW_FN_CALLOC,  MW_FN_REALLOC, MW_FN_POSIX_MEMALIGN,
		MW_FN_MEMALIGN, MW_FN_XALLOCX, MW_FN_NEW};

	for (u32 fn = 1; fn < MW_FN_COUNT; fn++) {
		struct mw_site s = {.ncallers = MW_SITE_CALLERS};
		u32 above = site_of(fn, true);

		for (u32 i = 0; i < MW_SITE_CALLERS; i++) {
			s.caller[i].lo = ((s64)callers[i] - fn) * (s64)TEXT_SPAN;
			s.caller[i].hi = s.caller[i].lo + TEXT_SPAN;
		}
		bpf_map_update_elem(&alloc_sites, &fn, &s, BPF_ANY);
		s.nlayer = 1;
		s.layer[0].lo = -(s64)(fn * TEXT_SPAN);
		s.layer[0].hi = s.layer[0].lo + MW_FN_COUNT * TEXT_SPAN;
		bpf_map_update_elem(&alloc_sites, &above, &s, BPF_ANY);
	}
}

static void start(u64 sample_bytes, u64 seed)
{
	native__reset();
	memset(alloc_marks, 0, sizeof(alloc_marks));
	memset(alloc_thin, 0, sizeof(alloc_thin));
	memset(&sim, 0, sizeof(sim));
	sim.random = seed * 0x9e3779b97f4a7c15ULL | 1;
	sim.expect_exact = sample_bytes <= 1;
	native.seed = sim.random;
	native.read_user = read_stack;
	native.on_event = on_event;
	alloc_config = (struct mw_alloc_config){.sample_bytes = sample_bytes};
	native_watch(TARGET);
	sim.threads = THREADS;
	for (u32 i = 0; i < THREADS; i++)
		sim.t[i].sp = stack_base(i, false) + WORDS * 8;
	set_sites();
}

static void be_thread(u32 i)
{
	native.task.tgid = 100;
	native.task.pid = 100 + i;
}

static u64 free_block(void)
{
	u32 first = rnd(BLOCKS);

	for (u32 i = 0; i < BLOCKS; i++) {
		u32 b = (first + i) % BLOCKS;

		if (!sim.size_of[b])
			return addr_of(b);
	}
	return 0; /* the call fails */
}

/* A block that no open realloc has. */
static u64 live_block(void)
{
	u32 b = rnd(BLOCKS);

	if (!sim.size_of[b])
		return 0;
	for (u32 i = 0; i < THREADS; i++) {
		for (u32 k = 0; k < sim.t[i].depth; k++) {
			if (sim.t[i].frame[k].old == addr_of(b))
				return 0;
		}
	}
	return addr_of(b);
}

/* Locals are written, and then the return address. */
static u64 push_call(struct sim_thread *t, u64 ret_addr)
{
	u32 locals = 1 + rnd(6);

	for (u32 i = 0; i < locals; i++) {
		t->sp -= 8;
		*word_at(t->sp) = 0x1111111100000000ULL | rnd(1 << 20);
	}
	t->sp -= 8;
	*word_at(t->sp) = ret_addr;
	return t->sp;
}

static struct frame *innermost(struct sim_thread *t)
{
	return t->depth ? &t->frame[t->depth - 1] : NULL;
}

static bool has_room(u32 i)
{
	struct sim_thread *t = &sim.t[i];

	return t->sp - stack_base(i, t->in_handler) > 16 * 8 && t->depth < MAX_DEPTH;
}

static void args_of(struct frame *f, struct pt_regs *r)
{
	switch (f->fn) {
	case MW_FN_CALLOC:
		r->parm[0] = 2;
		r->parm[1] = f->size / 2;
		break;
	case MW_FN_REALLOC:
	case MW_FN_XALLOCX:
		r->parm[0] = f->old;
		r->parm[1] = f->size;
		r->parm[2] = f->extra;
		break;
	case MW_FN_MEMALIGN:
		r->parm[0] = 16;
		r->parm[1] = f->size;
		break;
	default: r->parm[0] = f->size;
	}
}

/* Do the programs wait for the return of the call at this place? */
static bool native_followed(u64 slot)
{
	u32 tid = native.task.pid;
	struct thread *t = bpf_map_lookup_elem(&alloc_threads, &tid);

	return t && t->depth && t->p[t->depth - 1].sp == slot;
}

static void probe_entry(struct frame *f)
{
	struct pt_regs r = {.ip = text_of(f->fn, f->in_layer), .sp = f->slot};
	u64 flags = MW_COOKIE_CALLER | (f->in_layer ? MW_COOKIE_LAYER : 0);
	u32 site = site_of(f->fn, f->in_layer);

	args_of(f, &r);
	native.cookie = MW_COOKIE(TARGET, f->fn, site) | flags;
	if (f->fn == MW_FN_NEW) { /* no return probe */
		mw_alloc_entry(&r);
	} else if (sim.no_sessions) { /* every return is probed */
		mw_alloc_entry(&r);
		f->followed = native_followed(f->slot);
		*word_at(f->slot) = native.xol.vaddr;
	} else if (native_enter(TARGET, f->fn, site, flags, &r)) {
		f->followed = true;
		*word_at(f->slot) = native.xol.vaddr;
	}
}

static void enter(struct frame *f)
{
	u64 before = native_lost(TARGET, MW_LOSS_DEPTH);

	if (sim.stopped) /* nobody sees it */
		f->top_level = false;
	f->in_window = !alloc_config.until_ns || alloc_config.until_ns > native.clock_ns + 1000;
	probe_entry(f);
	if (f->top_level)
		sim.calls++;
	if (native_lost(TARGET, MW_LOSS_DEPTH) != before) {
		assert_true(f->top_level);
		sim.depth_lost++;
		f->top_level = false; /* not followed, and said so */
	} else if (sim.expect_exact && f->fn != MW_FN_NEW) {
		assert_int_equal(f->followed, f->top_level);
	}
}

/* Which function, and of what. */
static void choose_call(struct frame *f, bool inner, bool nested)
{
	static const u8 fns[] = {MW_FN_MALLOC,	 MW_FN_CALLOC,	MW_FN_REALLOC,
				 MW_FN_MEMALIGN, MW_FN_XALLOCX, MW_FN_NEW};

	f->fn = fns[rnd(inner ? 4 : sim.no_new ? 5 : 6)];
	f->size = 2 + 2 * rnd(2000);
	if ((f->fn == MW_FN_REALLOC || f->fn == MW_FN_XALLOCX) && !nested)
		f->old = live_block();
	if (f->fn == MW_FN_XALLOCX && !f->old)
		f->fn = MW_FN_MALLOC;
	if (f->fn == MW_FN_XALLOCX)
		f->extra = rnd(3) * 100;
}

/* A place that calls this function and no other. */
static u64 program_text(const struct frame *f)
{
	return 0x400000 + site_of(f->fn, f->in_layer) * TEXT_SPAN + rnd(TEXT_SPAN);
}

static void begin(u32 i, bool in_handler, bool nested)
{
	struct sim_thread *t = &sim.t[i];
	struct frame *by = innermost(t), f = {.sp_before = t->sp};

	be_thread(i);
	choose_call(&f, nested || in_handler, nested);
	/* A layer asks what lies below it, or a function of its own. */
	f.in_layer = sim.layers && (!nested || by->in_layer) && rnd(2);
	f.on_handler_stack = in_handler;
	if (in_handler && !t->in_handler) {
		t->in_handler = true;
		t->sp = stack_base(i, true) + WORDS * 8;
	}
	f.ret_addr = nested ? text_of(by->fn, by->in_layer) + 0x10 : program_text(&f);
	f.slot = push_call(t, f.ret_addr);
	f.top_level = !nested;
	t->frame[t->depth] = f;
	enter(&t->frame[t->depth++]);
}

static void pop(u32 i)
{
	struct sim_thread *t = &sim.t[i];
	struct frame *f = &t->frame[--t->depth];

	t->sp = f->sp_before;
	t->in_handler = t->depth ? t->frame[t->depth - 1].on_handler_stack : false;
}

/* What the program has afterwards; a nested call's block is the outer call's business. */
static u64 settle(struct frame *f, bool success)
{
	u64 addr = success ? free_block() : 0;
	bool top_level = f->top_level || f->followed;

	if (!top_level || !addr)
		return addr;
	sim.size_of[block_of(addr)] = f->size;
	if (f->old)
		sim.size_of[block_of(f->old)] = 0;
	return addr;
}

/*
 * A resize in place: what the allocator returns is what the block can hold, a class that may be a
 * little above what is asked for, and what it held before where it is refused.
 */
static bool resize(struct frame *f, u64 *ret)
{
	u64 *size = &sim.size_of[block_of(f->old)], most = f->size + f->extra;
	bool refusal_shows = *size < f->size || *size > most + most / 4 + 64;

	if (refusal_shows && !sim.no_failures && !rnd(3)) {
		*ret = *size;
		return false;
	}
	*ret = f->size + rnd(f->extra + f->size / 4 + 1);
	*size = min_of(*ret, most);
	return true;
}

/* What comes of a call in the program; *ret is what it returns. */
static bool come_to_pass(struct frame *f, u64 *ret)
{
	bool success;

	if (f->fn == MW_FN_XALLOCX) {
		success = resize(f, ret);
	} else {
		*ret = settle(f, sim.no_failures || rnd(8) != 0);
		success = *ret != 0;
	}
	if (!success || sim.stopped)
		sim.calls--; /* not counted */
	else if (f->old)
		sim.frees++;
	return success;
}

static void probe_return(const struct frame *f, struct pt_regs *r)
{
	u32 site = site_of(f->fn, f->in_layer);

	sim.may_sample = f->in_window;
	native.cookie = MW_COOKIE(TARGET, f->fn, site);
	if (f->fn == MW_FN_NEW) {
		r->sp = f->slot;
		mw_alloc_ret(r);
	} else if (sim.no_sessions) {
		mw_alloc_return(r);
	} else if (f->followed) {
		native_leave(TARGET, f->fn, site, r);
	}
	sim.may_sample = false;
}

static void end(u32 i)
{
	struct sim_thread *t = &sim.t[i];
	struct frame f = *innermost(t);
	struct pt_regs r = {.sp = f.slot + 8};
	bool failed;

	be_thread(i);
	failed = f.top_level && !come_to_pass(&f, &r.rc);
	pop(i);
	if (f.fn == MW_FN_NEW && failed) /* throws: the ret is never reached */
		sim.thrown++;
	else
		probe_return(&f, &r);
}

static void probe_free(struct sim_thread *t, u64 addr, bool in_layer, u64 ret_addr)
{
	native.cookie = MW_COOKIE(TARGET, MW_FN_FREE, site_of(MW_FN_FREE, in_layer)) |
			(in_layer ? MW_COOKIE_LAYER : 0);
	mw_alloc_free(&(struct pt_regs){
		.ip = text_of(MW_FN_FREE, in_layer), .sp = push_call(t, ret_addr), .parm = {addr}});
}

static void give_back(u32 i)
{
	struct sim_thread *t = &sim.t[i];
	u64 addr = live_block(), sp = t->sp;

	if (!addr)
		return;
	be_thread(i);
	sim.size_of[block_of(addr)] = 0;
	sim.frees += !sim.stopped;
	if (sim.layers && rnd(2)) { /* and what lies below is given what the layer has of it */
		probe_free(t, addr, true, 0x400000);
		probe_free(t, addr, false, text_of(MW_FN_FREE, true) + 0x10);
	} else {
		probe_free(t, addr, false, 0x401000);
	}
	t->sp = sp;
}

/* longjmp or an exception leaves some calls. A realloc is taken to have freed by then. */
static void jump(u32 i, u32 n)
{
	struct sim_thread *t = &sim.t[i];

	while (n-- && t->depth) {
		struct frame *f = innermost(t);

		if (f->top_level) {
			if (f->fn == MW_FN_NEW) {
				sim.thrown++;
				sim.calls--;
			} else {
				sim.left++;
			}
			if (f->old) { /* (a resize that was told to have taken it, too) */
				sim.size_of[block_of(f->old)] = 0;
				sim.frees++;
			}
		}
		pop(i);
	}
}

static bool new_is_open(const struct sim_thread *t)
{
	for (u32 k = 0; k < t->depth; k++) {
		if (t->frame[k].fn == MW_FN_NEW)
			return true;
	}
	return false;
}

static void step(u32 jump_share)
{
	u32 i = rnd(sim.threads), what = rnd(100);
	struct sim_thread *t = &sim.t[i];

	if (t->depth && !t->in_handler && rnd(1000) < jump_share)
		jump(i, 1 + rnd(t->depth));
	else if (t->depth && what < 45)
		end(i);
	else if (!t->depth && (what < 30 || (sim.no_failures && !free_block())))
		give_back(i);
	else if (!has_room(i))
		return;
	else if (!t->depth)
		begin(i, false, false);
	else if (what < 75)
		begin(i, t->in_handler, true);
	else if (what < 80 && !t->in_handler && !new_is_open(t) && !sim.no_handlers)
		begin(i, true, false);
}

/* All calls return; then the stacks are written all over, and one more call notices. */
static void finish(void)
{
	sim.no_new = true;
	for (u32 i = 0; i < THREADS; i++) {
		u32 tid = 100 + i;
		struct thread *th;

		while (sim.t[i].depth)
			end(i);
		memset(sim.t[i].mem, 0x22, sizeof(sim.t[i].mem));
		if (!free_block())
			give_back(i);
		begin(i, false, false);
		end(i);
		th = bpf_map_lookup_elem(&alloc_threads, &tid);
		assert_true(!th || !th->depth || !sim.expect_exact);
	}
}

static bool is_idle(void)
{
	return !sim.t[0].depth && !sim.t[1].depth && !sim.t[2].depth;
}

/* The table of the sampled blocks that are live has those that were told of. */
static void compare_live(void)
{
	for (u32 b = 0; b < BLOCKS; b++) {
		u64 key = MW_LIVE_KEY(TARGET, addr_of(b)),
		    *v = bpf_map_lookup_elem(&alloc_live, &key);

		assert_int_equal(v ? *v : 0, sim.told[b]);
	}
}

static void compare(void)
{
	for (u32 b = 0; b < BLOCKS; b++) {
		if (sim.expect_exact)
			assert_int_equal(sim.told[b], sim.size_of[b]);
		else if (sim.told[b])
			assert_int_equal(sim.told[b], sim.size_of[b]);
	}
}

static void compare_counters(void)
{
	assert_int_equal(native_count(TARGET, MW_C_ALLOCS), sim.calls);
	assert_int_equal(native_count(TARGET, MW_C_FREES), sim.frees);
}

#endif
