/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The marks in front of the table of live blocks: as many as there are blocks in it, whatever comes
 * and goes, so that a free without a mark is the free of no block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "bpf_programs.h"
#include "core/util.h"

#define SP 0x7ffc00001000
#define SIZE (1 << 20) /* far above the rate: sampled */

static u64 sent[2]; /* allocations, and frees that came to pass */

static void take_event(const void *data, size_t size)
{
	const struct mw_ev_hdr *h = data;

	sent[0] += h->type == MW_EV_ALLOC;
	sent[1] += (h->type == MW_EV_FREE) - (h->type == MW_EV_UNFREE);
}

static int no_user_memory(void *to, size_t size, u64 from)
{
	return -EFAULT;
}

static void machine(void)
{
	native__reset();
	memset(alloc_marks, 0, sizeof(alloc_marks));
	memset(sent, 0, sizeof(sent));
	native.on_event = take_event;
	native.read_user = no_user_memory;
	alloc_config.sample_bytes = 2;
	native_watch(0);
}

static u64 marks(void)
{
	u64 n = 0;

	for (size_t i = 0; i < MW_LIVE_MARKS; i++)
		n += alloc_marks[i];
	return n;
}

static u64 entries(void)
{
	return native_map_of(&alloc_live)->n;
}

static void take(u64 addr)
{
	struct pt_regs in = {.ip = 0x500000, .sp = SP, .parm = {SIZE}};

	assert_true(native_enter(0, MW_FN_MALLOC, 1, 0, &in));
	native_leave(0, MW_FN_MALLOC, 1, &(struct pt_regs){.sp = SP + 8, .rc = addr});
}

static void resize(u64 addr, u64 to)
{
	struct pt_regs in = {.ip = 0x500000, .sp = SP, .parm = {addr, SIZE}};

	assert_true(native_enter(0, MW_FN_REALLOC, 1, 0, &in));
	native_leave(0, MW_FN_REALLOC, 1, &(struct pt_regs){.sp = SP + 8, .rc = to});
}

static void give(u64 addr)
{
	native.cookie = MW_COOKIE(0, MW_FN_FREE, 1);
	mw_alloc_free(&(struct pt_regs){.sp = SP, .parm = {addr}});
}

static void blocks_come_and_go(void **state)
{
	u64 seed = 1, addr[500];

	machine();
	for (size_t i = 0; i < ARRAY_SIZE(addr); i++)
		take(addr[i] = 0x10000 + i * 4112);
	assert_int_equal(marks(), ARRAY_SIZE(addr));
	for (int i = 0; i < 2000; i++) {
		u64 *a = &addr[(seed = seed * 6364136223846793005ULL + 1) >> 55 & 255];
		u64 moved = i % 7 ? 0x4000000 + (u64)i * 48 : *a;

		if (i & 1) {
			give(*a);
			take(moved);
			*a = moved;
		} else if (i & 2) {
			resize(*a, moved);
			*a = moved;
		} else {
			resize(*a, 0); /* refused: the block is as it was */
		}
		assert_int_equal(marks(), entries());
	}
	assert_int_equal(entries(), ARRAY_SIZE(addr));
	for (size_t i = 0; i < ARRAY_SIZE(addr); i++)
		give(addr[i]);
	assert_int_equal(entries(), 0);
	assert_int_equal(marks(), 0);
	assert_int_equal(native_count(0, MW_C_SAMPLED_FREES), native_count(0, MW_C_SAMPLED_ALLOCS));
	assert_int_equal(sent[1], native_count(0, MW_C_SAMPLED_ALLOCS));
}

/* A block that is there already, since its free was not seen, is one. */
static void a_free_unseen(void **state)
{
	machine();
	take(0x10000);
	take(0x10000);
	assert_int_equal(entries(), 1);
	assert_int_equal(marks(), 1);
	give(0x10000);
	assert_int_equal(marks(), 0);
	give(0x10000);
	assert_int_equal(marks(), 0);
	assert_int_equal(sent[1], 1);
}

static void what_finds_no_room_has_no_mark(void **state)
{
	machine();
	native__limit(&alloc_live, 1);
	take(0x10000);
	take(0x20000);
	assert_int_equal(native_lost(0, MW_LOSS_LIVE_FULL), 1);
	assert_int_equal(marks(), 1);
	give(0x20000);
	assert_int_equal(sent[1], 0);
	give(0x10000);
	assert_int_equal(sent[1], 1);
	assert_int_equal(marks(), 0);
	/* in the table, but not told of: it leaves it again */
	native.ring_full = true;
	take(0x10000);
	assert_int_equal(entries(), 0);
	assert_int_equal(marks(), 0);
}

/* Two blocks under one mark: it is there until both have gone. */
static void a_mark_of_two(void **state)
{
	u64 a = 0x10000, b = a + 16;

	machine();
	while (MW_LIVE_MARK(MW_LIVE_KEY(0, b)) != MW_LIVE_MARK(MW_LIVE_KEY(0, a)))
		b += 16;
	take(a);
	take(b);
	give(a);
	assert_int_equal(marks(), 1);
	give(b);
	assert_int_equal(marks(), 0);
	assert_int_equal(sent[1], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_and_go),
		cmocka_unit_test(a_free_unseen),
		cmocka_unit_test(what_finds_no_room_has_no_mark),
		cmocka_unit_test(a_mark_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
