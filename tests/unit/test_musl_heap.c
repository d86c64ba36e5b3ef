/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "musl_image.h"

#include "model/contributors.h"
#include "model/ledger.h"
#include "model/musl_heap.h"

static int find(const struct ledger_block *blocks, size_t n, struct ledger_share *ret)
{
	struct heap_memory m = {.maps = &input,
				.present = present,
				.npresent = 4,
				.block = blocks,
				.nblocks = n,
				.read = read_memory};

	return musl_heap__find(&m, ret);
}

/* Whatever the memory holds, the ledger adds up and has nothing below zero. */
static void ledger_holds(const struct ledger_share *s, bool known, struct ledger *l)
{
	struct ledger_heap heap = {.known = known, .share = s, .nshares = 1};
	int64_t rss = 0, virt = 0;

	ledger__make(&input, &heap, l);
	for (int i = 0; i < LEDGER_KINDS; i++) {
		rss += l->line[i].rss_bytes;
		virt += l->line[i].virt_bytes;
		assert_true(l->line[i].rss_bytes >= 0 && l->line[i].virt_bytes >= 0);
	}
	assert_int_equal(rss, input.rss_bytes);
	assert_int_equal(virt, input.virt_bytes);
}

static void every_slot(void **state)
{
	const uint64_t used = 1001 + 28 + 12 + 5 + 16000;
	struct ledger_share s;
	struct ledger l;

	make();
	assert_int_equal(find(NULL, 0, &s), 0);
	assert_true(s.walk.done && !s.walk.partial && !*s.walk.note);
	assert_int_equal(s.walk.used, used);
	assert_int_equal(s.walk.chunks, 5);
	assert_int_equal(s.walk.heaps, 3);
	assert_int_equal(s.kept.virt, 2 * 1008 + 28 * 32);
	assert_int_equal(s.cover[1].virt, 8192);
	assert_int_equal(s.cover[2].virt, 2 * 4096 + 4 * 4096);
	assert_int_equal(used + s.kept.virt + s.own.virt, 8192 + 6 * 4096);
	ledger_holds(&s, false, &l);
	assert_int_equal(l.line[LEDGER_USED].virt_bytes, used);
	assert_int_equal(l.line[LEDGER_USED].rss_bytes, used - 4096);
	assert_int_equal(l.line[LEDGER_OTHER].virt_bytes, HEAP_BYTES - 6 * 4096);
	contributors__free(&s, 1);
}

static void live_blocks(void **state)
{
	const struct ledger_block blocks[] = {
		{0x1000, 50, 50, 0}, {HEAP + 16, 1001, 1001, 0}, {BIG + 16 + 48, 8000, 16000, 0}};
	struct ledger_share s;
	struct ledger l;

	make();
	assert_int_equal(find(blocks, 3, &s), 0);
	assert_int_equal(s.nstray, 1);
	assert_int_equal(s.stray[0].addr, 0x1000);
	assert_int_equal((int)s.live_virt, 9001);
	ledger_holds(&s, true, &l);
	assert_int_equal(l.line[LEDGER_OLD].virt_bytes, 28 + 12 + 5 + 8000);
	contributors__free(&s, 1);
}

static void nothing_of_it(void **state)
{
	struct ledger_share s;

	make();
	memory.data[107] = 0; /* nothing was allocated yet */
	assert_int_equal(find(NULL, 0, &s), -ENOENT);
	contributors__free(&s, 1);
	make();
	memory.pages[1][0] = 1;
	assert_int_equal(find(NULL, 0, &s), -EBADMSG);
	assert_true(*s.walk.note);
	contributors__free(&s, 1);
	make();
	memory.pages[1][1] = PAGES; /* a ring */
	assert_int_equal(find(NULL, 0, &s), -EBADMSG);
	contributors__free(&s, 1);
	make();
	put(HEAP + 16 + 1008, 0); /* a group that does not know its descriptor */
	assert_int_equal(find(NULL, 0, &s), 0);
	assert_true(s.walk.partial && *s.walk.note);
	contributors__free(&s, 1);
}

static void any_damage(void **state)
{
	const struct ledger_block blocks[] = {{HEAP + 16, 1001, 1001, 0}, {BIG + 64, 1e9, 77, 0}};
	uint64_t x = 88172645463325252ULL;

	for (int i = 0; i < 20000; i++) {
		struct ledger_share s;
		struct ledger l;

		make();
		for (int k = 0; k < 3; k++) {
			uint8_t *bytes = (uint8_t *)memory.pages;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			if (x & 1)
				bytes[x >> 8 & 0x1fff & (x & 2 ? 0x7f : 0x1fff)] =
					(uint8_t)(x >> 40);
			else
				memory.heap[(x >> 8) % HEAP_BYTES & (x & 2 ? 0xff : 0x7fff)] =
					(uint8_t)(x >> 40);
		}
		if (!find(blocks, 2, &s)) {
			ledger_holds(&s, true, &l);
			ledger_holds(&s, false, &l);
		}
		contributors__free(&s, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot), cmocka_unit_test(live_blocks),
		cmocka_unit_test(nothing_of_it), cmocka_unit_test(any_damage)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
