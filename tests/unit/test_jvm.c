/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of HotSpot's code, from heaps of it in memory: found, and whatever the bytes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <linux/types.h>

#include "memwatch/jvm.h"

#define HEAP 0x10000
#define SEGMENTS 0x80000
#define SHIFT 7
#define FRAME_SIZE 44

static uint8_t segment_map[2048];
static uint8_t heap[sizeof(segment_map) << SHIFT];

static int read_at(void *dst, size_t n, uint64_t at)
{
	const uint8_t *from = at >= SEGMENTS ? segment_map : heap;
	uint64_t base = at >= SEGMENTS ? SEGMENTS : HEAP;
	uint64_t size = at >= SEGMENTS ? sizeof(segment_map) : sizeof(heap);

	if (at < base || at - base > size || n > size - (at - base))
		return -1;
	memcpy(dst, from + (at - base), n);
	return 0;
}

#define JVM_READ(arg, dst, n, at) read_at(dst, n, at)
#include "memwatch/jvm.h" /* again: now the function */

static struct mw_jvm machine(void)
{
	memset(segment_map, 0xff, sizeof(segment_map)); /* no block */
	memset(heap, 0, sizeof(heap));
	return (struct mw_jvm){.interpreter = 0x1000,
			       .interpreter_end = 0x2000,
			       .heap = {{HEAP, HEAP + sizeof(heap), SEGMENTS}},
			       .n_heaps = 1,
			       .segment_shift = SHIFT,
			       .frame_size = FRAME_SIZE};
}

/* As CodeHeap::mark_segmap_as_used does it. */
static void block(size_t first, size_t n, int32_t words)
{
	for (size_t i = 0; i < n; i++)
		segment_map[first + i] = i < 0xfe ? i : (i - 1) % 0xfe + 1;
	memcpy(heap + (first << SHIFT) + FRAME_SIZE, &words, sizeof(words));
}

static uint64_t in_segment(size_t i)
{
	return HEAP + (i << SHIFT) + 5;
}

static void test_found(void **state)
{
	struct mw_jvm j = machine();

	block(3, 1, 7);
	block(4, 1000, 12);
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(3)), 7);
	for (size_t i = 4; i < 1004; i += 83)
		assert_int_equal(jvm_frame_words(&j, NULL, in_segment(i)), 12);
	assert_int_equal(jvm_frame_words(&j, NULL, 0x1800), MW_JVM_INTERPRETED);
	assert_true(jvm_holds(&j, in_segment(3)));
}

static void test_not_found(void **state)
{
	struct mw_jvm j = machine();

	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(3)), 0);
	assert_int_equal(jvm_frame_words(&j, NULL, HEAP - 1), 0);
	assert_int_equal(jvm_frame_words(&j, NULL, HEAP + sizeof(heap)), 0);
	assert_false(jvm_holds(&j, HEAP - 1));
	block(5, 2, 0); /* a stub: its frames are what its code makes of them */
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(6)), 0);
	block(5, 2, -3);
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(6)), 0);
	block(5, 2, MW_JVM_MAX_WORDS);
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(6)), 0);
}

/* Hops before the heap, in a circle, and without end. */
static void test_damaged(void **state)
{
	struct mw_jvm j = machine();

	block(0, 1, 9);
	segment_map[2] = 3;
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(2)), 0);
	memset(segment_map, 1, sizeof(segment_map));
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(1000)), 0);
	j.heap[0].segments = 0x7fffffff0000;
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(2)), 0);
	j.n_heaps = ~0u;
	assert_int_equal(jvm_frame_words(&j, NULL, in_segment(2)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
