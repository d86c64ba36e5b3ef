/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What programs hand over themselves, against models: samples of stubs (--fast), whose table of
 * sampled blocks and whose reallocs are simulated here, and USDT marks, whose arguments lie in any
 * register and in memory. In every order, with the ring or the table of live samples full now and
 * then: what is told is what is in the table, and what is not told is counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "bpf_programs.h"
#include "core/util.h"

#define TARGET 5
#define BLOCKS 48
#define THREADS 3
#define SITE 7
#define IP 0x500000ULL
#define SP 0x7ffc00001000ULL

static struct {
	u64 random;
	u64 size_of[BLOCKS];	 /* in the stub's table; 0: not there */
	u64 told[BLOCKS];	 /* live by the events */
	u64 ret_addr;		 /* of the call at hand */
	u64 in_realloc[THREADS]; /* block + 1 that this thread's realloc has given up */
	u64 given_size[THREADS];
	u64 allocs, frees, nested, events[MW_EV_TYPES];
} sim;

static u32 rnd(u32 below)
{
	sim.random ^= sim.random << 13;
	sim.random ^= sim.random >> 7;
	sim.random ^= sim.random << 17;
	return (sim.random >> 16) % below;
}

static u64 addr_of(u32 block)
{
	return (block + 1) * 0x1000ULL;
}

static u32 block_of(u64 addr)
{
	assert_true(addr && !(addr & 0xfff) && addr <= addr_of(BLOCKS - 1));
	return addr / 0x1000 - 1;
}

static void on_event(const void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;
	const struct mw_ev_alloc *a = data;
	const struct mw_ev_free *f = data;

	sim.events[hdr->type]++;
	if (hdr->type == MW_EV_STACK)
		return;
	assert_int_equal(hdr->target, TARGET);
	assert_int_equal(hdr->tid, native.task.pid);
	switch (hdr->type) {
	case MW_EV_ALLOC: sim.told[block_of(a->addr)] = a->size; break;
	case MW_EV_FREE:
		assert_true(sim.told[block_of(f->addr)] != 0);
		sim.told[block_of(f->addr)] = 0;
		break;
	case MW_EV_UNFREE:
		assert_int_equal(sim.told[block_of(f->addr)], 0);
		sim.told[block_of(f->addr)] = sim.given_size[hdr->tid - 100];
		break;
	default: fail();
	}
}

static int read_stack(void *to, size_t size, u64 from)
{
	if (size != 8 || from != SP)
		return -EFAULT;
	memcpy(to, &sim.ret_addr, 8);
	return 0;
}

static void start(u64 seed)
{
	struct mw_site s = {.ncallers = 1, .caller = {{-0x10000, -0x8000}}};
	u32 site = SITE;

	native__reset();
	memset(alloc_marks, 0, sizeof(alloc_marks));
	memset(&sim, 0, sizeof(sim));
	sim.random = seed * 0x9e3779b97f4a7c15ULL | 1;
	native.on_event = on_event;
	native.read_user = read_stack;
	alloc_config = (struct mw_alloc_config){.sample_bytes = 512 << 10};
	native_watch(TARGET);
	bpf_map_update_elem(&alloc_sites, &site, &s, BPF_ANY);
}

/* --- stubs --- */

static void hand_over(u32 block, u64 size, bool is_nested)
{
	sim.ret_addr = is_nested ? IP - 0x9000 : 0x400000;
	native.cookie = MW_COOKIE(TARGET, MW_FN_MALLOC, SITE);
	mw_fast_alloc(&(struct pt_regs){.ip = IP, .sp = SP, .rc = addr_of(block), .parm = {size}});
	sim.size_of[block] = size; /* the stub does not know whose call it was */
	sim.allocs += !is_nested;
	sim.nested += is_nested;
}

static void take_back(u32 block, u8 fn)
{
	native.cookie = MW_COOKIE(TARGET, fn, SITE);
	sim.given_size[native.task.pid - 100] = sim.size_of[block];
	mw_fast_free(&(struct pt_regs){.sp = SP, .parm = {addr_of(block)}});
	sim.size_of[block] = 0;
	sim.frees++;
}

static bool is_given_up(u32 block)
{
	for (u32 i = 0; i < THREADS; i++) {
		if (sim.in_realloc[i] == block + 1)
			return true;
	}
	return false;
}

/* A realloc has come to its end: its old block is there as before, or it has another one. */
static void end_realloc(u32 thread)
{
	u32 old = sim.in_realloc[thread] - 1, to = rnd(BLOCKS);

	sim.in_realloc[thread] = 0;
	if (rnd(2)) {
		native.cookie = MW_COOKIE(TARGET, MW_FN_REALLOC, SITE);
		mw_fast_unfree(&(struct pt_regs){.sp = SP, .parm = {0, addr_of(old)}});
		sim.size_of[old] = sim.given_size[thread];
		sim.frees--;
	} else if (!sim.size_of[to] && !is_given_up(to) && rnd(2)) {
		hand_over(to, 1 + rnd(5000), false);
	}
}

static void step(void)
{
	u32 thread = rnd(THREADS), block = rnd(BLOCKS);

	native.task.pid = 100 + thread;
	if (sim.in_realloc[thread]) {
		end_realloc(thread);
	} else if (is_given_up(block)) {
		return;
	} else if (!sim.size_of[block]) {
		hand_over(block, 1 + rnd(5000), !rnd(8));
	} else if (rnd(2)) {
		take_back(block, MW_FN_FREE);
	} else {
		take_back(block, MW_FN_REALLOC);
		sim.in_realloc[thread] = block + 1;
	}
}

/* What is live by the events is in the table, but for what found no place there again. */
static void check_table(void)
{
	u64 n_marks = 0, live = 0, missing = 0;

	for (u32 b = 0; b < BLOCKS; b++) {
		u64 key = MW_LIVE_KEY(TARGET, addr_of(b)),
		    *v = bpf_map_lookup_elem(&alloc_live, &key);

		live += v != NULL;
		missing += !v && sim.told[b];
		if (v)
			assert_int_equal(*v, sim.told[b]);
	}
	for (size_t i = 0; i < MW_LIVE_MARKS; i++)
		n_marks += alloc_marks[i];
	assert_int_equal(n_marks, live);
	assert_true(missing <= native_lost(TARGET, MW_LOSS_FREE_LIVE));
}

static void check_counters(void)
{
	assert_int_equal(native_count(TARGET, MW_C_ALLOCS), sim.allocs);
	assert_int_equal(native_count(TARGET, MW_C_NESTED), sim.nested);
	assert_int_equal(native_count(TARGET, MW_C_FREES), sim.frees);
	assert_int_equal(native_count(TARGET, MW_C_SAMPLED_ALLOCS),
			 sim.events[MW_EV_ALLOC] + native_lost(TARGET, MW_LOSS_LIVE_FULL) +
				 native_lost(TARGET, MW_LOSS_ALLOC_RING));
	assert_int_equal(native_count(TARGET, MW_C_SAMPLED_FREES),
			 sim.events[MW_EV_FREE] - sim.events[MW_EV_UNFREE]);
}

static void stubs_tell_what_they_hold(void **state)
{
	for (u64 seed = 1; seed <= 60; seed++) {
		u64 nested = 0;

		start(seed);
		for (int n = 0; n < 2000; n++) {
			step();
			if (n % 16 == 0)
				check_table();
		}
		check_counters();
		for (u32 b = 0; b < BLOCKS; b++) {
			/* what was nested is in the stub's table alone */
			assert_true(!sim.told[b] || sim.told[b] == sim.size_of[b]);
			nested += sim.size_of[b] && !sim.told[b];
		}
		assert_true(nested <= sim.nested && sim.events[MW_EV_UNFREE] > 20);
	}
}

/* Where the table is full, a block is in with its allocation and its free, or with neither. */
static void stubs_with_a_full_table(void **state)
{
	for (u64 seed = 1; seed <= 60; seed++) {
		start(seed);
		native__limit(&alloc_live, 8);
		for (int n = 0; n < 2000; n++) {
			step();
			if (n % 16 == 0)
				check_table();
		}
		assert_true(native_lost(TARGET, MW_LOSS_LIVE_FULL) > 100);
	}
}

/* A free that could not be told leaves the block in the table, and is counted. */
static void stubs_with_a_full_ring(void **state)
{
	for (u64 seed = 1; seed <= 60; seed++) {
		u64 lost = 0;

		start(seed);
		for (int n = 0; n < 2000; n++) {
			u64 before = sim.frees, live = sim.events[MW_EV_FREE];

			native.ring_full = !rnd(10) && !sim.in_realloc[0] && !sim.in_realloc[1] &&
					   !sim.in_realloc[2];
			step();
			lost += native.ring_full && sim.frees > before &&
				sim.events[MW_EV_FREE] == live;
			native.ring_full = false;
		}
		/* (of one that was in the table: a nested one's free is nobody's) */
		assert_true(native_lost(TARGET, MW_LOSS_FREE_RING) > 0 &&
			    native_lost(TARGET, MW_LOSS_FREE_RING) <= lost);
	}
}

static void nothing_after_the_stop(void **state)
{
	u64 told[BLOCKS], events;

	start(1);
	for (int n = 0; n < 500; n++)
		step();
	memcpy(told, sim.told, sizeof(told));
	events = sim.events[MW_EV_ALLOC] + sim.events[MW_EV_FREE] + sim.events[MW_EV_UNFREE];
	alloc_config.sample_bytes = 0;
	for (int n = 0; n < 500; n++)
		step();
	assert_memory_equal(told, sim.told, sizeof(told));
	assert_int_equal(events, sim.events[MW_EV_ALLOC] + sim.events[MW_EV_FREE] +
					 sim.events[MW_EV_UNFREE]);
}

/* --- marks --- */

#define ROW 3

static struct {
	u64 memory[8]; /* words at 0x10000, … */
	struct pt_regs regs;
	struct mw_ev_weighed got;
	bool got_alloc, got_free;
	u64 freed;
} marks;

static int read_words(void *to, size_t size, u64 from)
{
	if (from < 0x10000 || from + size > 0x10000 + sizeof(marks.memory))
		return -EFAULT;
	memcpy(to, (char *)marks.memory + (from - 0x10000), size);
	return 0;
}

static void on_mark(const void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;

	if (hdr->type == MW_EV_WEIGHED) {
		assert_int_equal(size, sizeof(marks.got));
		memcpy(&marks.got, data, size);
		marks.got_alloc = true;
	} else if (hdr->type == MW_EV_FREE) {
		marks.freed = ((const struct mw_ev_free *)data)->addr;
		marks.got_free = true;
	}
}

/* The low bytes of a word, widened. */
static u64 widened(u64 v, const struct mw_usdt_arg *a)
{
	u64 mask = a->bytes == 8 ? ~0ULL : (1ULL << 8 * a->bytes) - 1;

	v &= mask;
	if (a->is_signed && v >> (8 * a->bytes - 1))
		v |= ~mask;
	return v;
}

/* An argument somewhere, and in *ret what it is; false: it cannot be read. */
static bool draw_argument(struct mw_usdt_arg *a, u64 *ret)
{
	u32 r = rnd(4), x = rnd(4);
	u64 at;

	*a = (struct mw_usdt_arg){.kind = MW_USDT_CONST + rnd(3),
				  .bytes = 1 << rnd(4),
				  .is_signed = rnd(2),
				  .reg = offsetof(struct pt_regs, parm) + 8 * r,
				  .index = MW_USDT_NO_REG};
	switch (a->kind) {
	case MW_USDT_CONST:
		a->value = rnd(2) ? rnd(1 << 20) : -(s64)rnd(1000);
		*ret = widened(a->value, a);
		return true;
	case MW_USDT_REG:
		a->shift = rnd(2) * 8; /* ah, bh, … */
		*ret = widened(marks.regs.parm[r] >> a->shift, a);
		return true;
	default:
		a->value = (s64)(0x10000 + rnd(9) * 8 - marks.regs.parm[r]);
		if (rnd(2)) {
			a->index = offsetof(struct pt_regs, parm) + 8 * x;
			a->shift = rnd(4);
			a->value = (s64)((u64)a->value - (marks.regs.parm[x] << a->shift));
		}
		if (!rnd(8)) /* nothing is there */
			a->value += 1 << 20;
		*ret = 0;
		at = marks.regs.parm[r] + a->value +
		     (a->index == MW_USDT_NO_REG ? 0 : marks.regs.parm[x] << a->shift);
		if (read_words(ret, a->bytes, at))
			return false;
		*ret = widened(*ret, a);
		return true;
	}
}

static u64 draw_word(void)
{
	u64 v = (u64)rnd(1 << 24) << 24 | rnd(1 << 24);

	return rnd(4) ? v >> rnd(40) : (v << 20) - rnd(3);
}

static bool is_address(u64 v)
{
	return v && !(v >> MW_ADDR_BITS);
}

static void try_alloc(const u64 v[3], const bool ok[3])
{
	u64 address = native_lost(TARGET, MW_LOSS_ADDRESS),
	    size = native_lost(TARGET, MW_LOSS_SIZE);
	bool a = ok[0] && is_address(v[0]), s = ok[1] && ok[2] && !(v[1] >> 47) && !(v[2] >> 47);

	marks.got_alloc = false;
	native.cookie = MW_COOKIE(TARGET, 0, ROW);
	mw_usdt_alloc(&marks.regs);
	assert_int_equal(marks.got_alloc, a && s);
	assert_int_equal(native_lost(TARGET, MW_LOSS_ADDRESS) - address, !a);
	assert_int_equal(native_lost(TARGET, MW_LOSS_SIZE) - size, a && !s);
	if (marks.got_alloc) {
		assert_int_equal(marks.got.alloc.addr, v[0]);
		assert_int_equal(marks.got.alloc.size, v[1]);
		assert_int_equal(marks.got.weight, v[2]);
		assert_int_equal(marks.got.alloc.hdr.target, TARGET);
	}
}

static void try_free(u64 v, bool ok)
{
	marks.got_free = false;
	native.cookie = MW_COOKIE(TARGET, 0, ROW);
	mw_usdt_free(&marks.regs);
	assert_int_equal(marks.got_free, ok && is_address(v));
	assert_true(!marks.got_free || marks.freed == v);
}

static void marks_are_read_wherever_they_are(void **state)
{
	u64 taken = 0;
	u32 row = ROW;

	start(1);
	native.read_user = read_words;
	native.on_event = on_mark;
	for (int n = 0; n < 100000; n++) {
		struct mw_usdt u;
		u64 v[3];
		bool ok[3];

		for (int i = 0; i < 8; i++)
			marks.memory[i] = draw_word();
		for (int i = 0; i < 4; i++)
			marks.regs.parm[i] = draw_word();
		for (int i = 0; i < 3; i++)
			ok[i] = draw_argument(&u.arg[i], &v[i]);
		bpf_map_update_elem(&usdt_rows, &row, &u, BPF_ANY);
		try_alloc(v, ok);
		taken += marks.got_alloc;
		try_free(v[0], ok[0]);
	}
	assert_true(taken > 10000);
	assert_int_equal(native_count(TARGET, MW_C_ALLOCS), 100000);
	assert_int_equal(native_count(TARGET, MW_C_SAMPLED_ALLOCS), 100000);
	marks.got_alloc = false;
	alloc_config.sample_bytes = 0;
	mw_usdt_alloc(&marks.regs);
	assert_false(marks.got_alloc);
	assert_int_equal(native_count(TARGET, MW_C_ALLOCS), 100000);
}

/* A row that nobody has filled in says nothing. */
static void a_mark_without_a_row(void **state)
{
	start(1);
	native.on_event = on_mark;
	marks.got_alloc = marks.got_free = false;
	native.cookie = MW_COOKIE(TARGET, 0, ROW);
	mw_usdt_alloc(&marks.regs);
	mw_usdt_free(&marks.regs);
	assert_false(marks.got_alloc || marks.got_free);
	assert_int_equal(native_lost(TARGET, MW_LOSS_ADDRESS), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stubs_tell_what_they_hold),
		cmocka_unit_test(stubs_with_a_full_table),
		cmocka_unit_test(stubs_with_a_full_ring),
		cmocka_unit_test(nothing_after_the_stop),
		cmocka_unit_test(marks_are_read_wherever_they_are),
		cmocka_unit_test(a_mark_without_a_row),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	native__reset();
	return failed;
}
