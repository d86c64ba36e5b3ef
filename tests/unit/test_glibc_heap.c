/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "core/util.h"
#include "glibc_image.h"
#include "model/python_arenas.h"

static struct image image;

static int walk(const struct ledger_block *block, size_t n, struct glibc_heap *ret)
{
	struct heap_memory in = image_input(&image);

	in.block = block;
	in.nblocks = n;
	return glibc_heap__walk(&in, ret);
}

/* Whatever the heap, the ledger made with it adds up and has nothing below zero. */
static void ledger_holds(const struct glibc_heap *h, bool profile, struct ledger *l)
{
	struct ledger_share share;
	struct ledger_heap heap = {.known = profile, .share = &share, .nshares = 1};
	int64_t rss = 0, virt = 0;

	glibc_heap__share(h, &share);
	ledger__make(&image.maps, &heap, l);
	for (int i = 0; i < LEDGER_KINDS; i++) {
		rss += l->line[i].rss_bytes;
		virt += l->line[i].virt_bytes;
		assert_true(l->line[i].rss_bytes >= 0 && l->line[i].virt_bytes >= 0);
	}
	assert_int_equal(rss, image.maps.rss_bytes);
	assert_int_equal(virt, image.maps.virt_bytes);
}

static uint64_t sum_of(const struct glibc_heap *h)
{
	return h->used.virt + h->tcache.virt + h->fastbin.virt + h->binned.virt + h->top.virt +
	       h->own.virt;
}

static void test_every_chunk(void **state)
{
	struct glibc_heap h;
	struct ledger l;

	image_make(&image);
	assert_int_equal(walk(NULL, 0, &h), 0);
	assert_string_equal(h.note, "");
	assert_int_equal(h.arenas, 2);
	assert_int_equal(h.heaps, 3);
	assert_int_equal(h.failed, 0);
	assert_int_equal(h.retries, 0);
	assert_int_equal(h.used.virt, IMAGE_USED + IMAGE_THREAD_USED + 0x3000);
	assert_int_equal(h.mmapped.virt, 0x3000);
	assert_true(h.mmapped_exact && h.cached_known && h.fastbins_known);
	assert_int_equal(h.tcache.virt, 0x50);
	assert_int_equal(h.fastbin.virt, 0x60);
	assert_int_equal(sum_of(&h), I_BRK_LEN + 2 * I_HEAP_LEN + 0x3000);
	assert_int_equal(h.used.rss, h.used.virt); /* everything is resident */
	ledger_holds(&h, false, &l);
	assert_int_equal(l.line[LEDGER_USED].rss_bytes, h.used.virt);
	assert_int_equal(l.line[LEDGER_RETAINED].rss_bytes,
			 h.tcache.virt + h.fastbin.virt + h.binned.virt + h.top.virt);
	assert_int_equal(l.line[LEDGER_OVERHEAD].rss_bytes, h.own.virt);
	assert_int_equal(l.line[LEDGER_HEAP].rss_bytes, 0);
	/* the page behind the mmapped chunk is somebody else's */
	assert_int_equal(l.line[LEDGER_OTHER].rss_bytes, 0x1000);
	glibc_heap__free(&h);
}

static void test_what_is_not_resident(void **state)
{
	struct glibc_heap h;
	struct ledger l;

	image_make(&image);
	/* of the used chunk of 8 KiB and of the top the pages without headers are not there */
	image.present[0].end = I_BRK + 0x1000;
	image.maps.rss_bytes -= I_BRK_LEN - 0x2000;
	image.map[0].rss = 0x2000;
	struct heap_memory in = image_input(&image);
	struct heap_extent present[IMAGE_PARTS + 1] = {image.present[0],
						       {I_BRK + 0x2000, I_BRK + 0x3000}};

	for (int i = 1; i < IMAGE_PARTS; i++)
		present[i + 1] = image.present[i];
	in.present = present;
	in.npresent = IMAGE_PARTS + 1;
	assert_int_equal(glibc_heap__walk(&in, &h), 0);
	assert_int_equal(h.failed, 0);
	assert_int_equal(h.used.virt - h.used.rss, 0x1000);
	ledger_holds(&h, false, &l);
	assert_int_equal(l.line[LEDGER_USED].virt_bytes - l.line[LEDGER_USED].rss_bytes, 0x1000);
	glibc_heap__free(&h);
	/* without the page that a header is in, the main heap stays in one line */
	present[1] = (struct heap_extent){I_BRK + 0x4000, I_BRK + 0x5000};
	assert_int_equal(glibc_heap__walk(&in, &h), 0);
	assert_int_equal(h.failed, 1);
	assert_int_equal(h.heaps, 2);
	ledger_holds(&h, false, &l);
	assert_int_equal(l.line[LEDGER_HEAP].rss_bytes, 0x2000);
	assert_true(l.walk.partial && *l.walk.note);
	glibc_heap__free(&h);
}

static void test_live_blocks(void **state)
{
	const struct ledger_block blocks[] = {
		{I_BRK + 0x290 + 16, 0x68, 0x68},   /* all of a chunk of 0x70 */
		{I_BRK + 0x300 + 16, 0xb00, 0x58},  /* one that stands for 32 */
		{IMAGE_FREE_AT + 16, 0x100, 0x100}, /* freed meanwhile */
		{I_MMAP + 16, 0x2ff0, 0x2ff0},	    {I_MMAP + 0x3100, 0x50, 0x50}, /* not glibc's */
	};
	struct glibc_heap h;
	struct ledger l;

	image_make(&image);
	assert_int_equal(walk(blocks, ARRAY_SIZE(blocks), &h), 0);
	assert_int_equal(h.live_virt, 0x68 + 0xb00 + 0x2ff0);
	assert_int_equal(h.live_own_virt, 8 + 0x18 * 32 + 0x10);
	assert_int_equal(h.nstray, 1);
	assert_int_equal(h.stray[0].addr, blocks[4].addr);
	ledger_holds(&h, true, &l);
	assert_int_equal(l.line[LEDGER_LIVE].rss_bytes, 0x68 + 0xb00 + 0x2ff0 + 0x50);
	assert_int_equal(l.line[LEDGER_OLD].rss_bytes,
			 h.used.virt - (uint64_t)(h.live_virt + h.live_own_virt));
	/* the mapping that a stray block lies in is some allocator's */
	assert_int_equal(l.line[LEDGER_BEFORE].rss_bytes, 0x1000 - 0x50);
	assert_int_equal(l.over_bytes, 0);
	glibc_heap__free(&h);
}

static void test_estimate_that_exceeds(void **state)
{
	const struct ledger_block block = {I_BRK + 0x290 + 16, 0x600000, 0x60};
	struct glibc_heap h;
	struct ledger l;

	image_make(&image);
	assert_int_equal(walk(&block, 1, &h), 0);
	ledger_holds(&h, true, &l);
	assert_int_equal(l.line[LEDGER_LIVE].rss_bytes, h.used.virt);
	assert_int_equal(l.line[LEDGER_OLD].rss_bytes, 0);
	assert_int_equal(l.over_bytes, 0x600000 - h.used.virt);
	glibc_heap__free(&h);
}

static void test_torn_read(void **state)
{
	struct glibc_heap h;
	unsigned retries = 0;

	/* one read, whichever it is, sees a size that is no size: the next one is right */
	for (unsigned at = 1; at < 60; at++) {
		image_make(&image);
		image.tear_at = at;
		image.tear_addr = I_BRK + 0x290 + 8;
		image.tear_value = 0x71003;
		assert_int_equal(walk(NULL, 0, &h), 0);
		assert_int_equal(h.failed, 0);
		assert_int_equal(h.used.virt, IMAGE_USED + IMAGE_THREAD_USED + 0x3000);
		retries += h.retries;
		glibc_heap__free(&h);
	}
	assert_true(retries > 0);
}

/* What is damaged stays in one line, the rest is told apart. */
static void test_damaged(void **state)
{
	static const struct {
		uint64_t addr, value;
		unsigned heaps; /* still walked */
	} cases[] = {
		{I_BRK + 0x290 + 8, 1, 2},		 /* size 0 */
		{I_BRK + 0x290 + 8, 0x11, 2},		 /* too small */
		{I_BRK + 0x290 + 8, 0x79, 2},		 /* not aligned */
		{I_BRK + 0x290 + 8, 0x73, 2},		 /* with a mapping of its own? */
		{I_BRK + 0x290 + 8, UINT64_MAX - 14, 2}, /* beyond everything */
		{I_BRK + 0x290 + 8, I_BRK_LEN | 1, 2},	 /* beyond the top */
		{IMAGE_FREE_AT + 0x400, 0x3f0, 2},	 /* sizes disagree */
		{I_MAIN + 0x60, I_BRK - 16, 2},		 /* top outside */
		{I_MAIN + 0x60, I_BRK + I_BRK_LEN, 2},
		{I_MAIN + 0x60, I_BRK + 0x2a0, 2},	/* not a chunk */
		{I_MAIN + 0x70 + 2072, 1ULL << 40, 2},	/* far more than is here */
		{I_OLD + 48 + 0x60, 0x7e0020000000, 1}, /* no such heap */
		{I_NEW + 8, I_NEW, 1},			/* its own predecessor */
		{I_NEW, 0x7e0000000040, 1},		/* of another arena */
		{I_OLD + 16, 0x7001, 1},
		{I_OLD + 16, 128ULL << 20, 1},
		{I_NEW + 48 + 8, 0x10, 2},
	};
	struct glibc_heap h;
	struct ledger l;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		image_make(&image);
		image_put(&image, cases[i].addr, cases[i].value);
		assert_int_equal(walk(NULL, 0, &h), 0);
		assert_int_equal(h.heaps, cases[i].heaps);
		assert_int_equal(h.failed, 1);
		assert_true(*h.note);
		ledger_holds(&h, true, &l);
		assert_true(l.line[LEDGER_BEFORE].rss_bytes >= I_HEAP_LEN);
		glibc_heap__free(&h);
	}
}

static void test_no_glibc(void **state)
{
	static const struct {
		uint64_t addr, value;
	} cases[] = {
		{I_MAIN + 0x70 + 2048, 0}, /* the ring does not close */
		{I_MAIN + 0x70 + 2048, I_OLD + 0x100},
		{I_OLD + 48 + 0x70 + 2048, I_OLD + 48}, /* a ring without the main arena */
		{I_MAIN + 0x70, 3},			/* a list that is none */
		{I_OLD, I_OLD},				/* a heap of nobody's */
	};
	struct glibc_heap h;
	struct ledger l;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		image_make(&image);
		image_put(&image, cases[i].addr, cases[i].value);
		assert_int_equal(walk(NULL, 0, &h), -ENOENT);
		assert_true(*h.note);
		glibc_heap__free(&h);
	}
	struct ledger_heap heap = {.known = true, .why_not = "other malloc"};

	ledger__make(&image.maps, &heap, &l);
	assert_false(l.walk.done);
	assert_string_equal(l.walk.note, "other malloc");
	assert_int_equal(l.line[LEDGER_BEFORE].rss_bytes, I_BRK_LEN + 2 * I_HEAP_LEN);
}

static void test_older_releases(void **state)
{
	struct heap_memory in;
	struct glibc_heap h;
	uint64_t fast = IMAGE_FREE_AT + 0x400 + 0x50;

	/* 2.31: links are plain, the key is the address of the cache, the parameters lie closer */
	image_make(&image);
	in = image_input(&image);
	in.version = 231;
	image_put(&image, I_LIBC + 0x2000 - 40, 0);
	image_put(&image, I_LIBC + 0x2000 - 32, 1 | 65536ULL << 32);
	image_put(&image, fast - 0x50 + 24, I_BRK + 16);
	image_put(&image, fast + 16, 0);
	image_put(&image, fast + 0x30 + 16, fast);
	assert_int_equal(glibc_heap__walk(&in, &h), 0);
	assert_int_equal(h.failed, 0);
	assert_int_equal(h.tcache.virt, 0x50);
	assert_int_equal(h.fastbin.virt, 0x30); /* the last of a list cannot be told */
	assert_true(h.mmapped_exact);
	glibc_heap__free(&h);
	/* 2.43: the size of a chunk with a mapping of its own is that of the user's part */
	image_make(&image);
	in.version = 243;
	image_put(&image, I_MMAP + 8, 0x2ff2);
	assert_int_equal(glibc_heap__walk(&in, &h), 0);
	assert_int_equal(h.mmapped.virt, 0x3000);
	assert_true(h.mmapped_exact);
	glibc_heap__free(&h);
	/* nothing is known of the release: what could be anything counts as in use */
	image_make(&image);
	image_put(&image, I_LIBC + 0x2000, 0);
	in.version = 0;
	assert_int_equal(glibc_heap__walk(&in, &h), 0);
	assert_int_equal(h.tcache.virt, 0x50); /* arenas' headers say 2.35 or later */
	assert_int_equal(h.fastbin.virt, 0x60);
	assert_false(h.mmapped_exact);
	assert_int_equal(h.mmapped.virt, 0x3000);
	glibc_heap__free(&h);
}

static void test_python(void **state)
{
	static const struct {
		uint64_t addr, value;
	} damages[] = {
		{I_PYTHON + 0x100, I_TABLE + 16},
		{I_TABLE - 8, 0x100}, /* a chunk too small for a table */
		{I_TABLE - 8, UINT64_MAX - 14},
		{I_TABLE, I_ARENA + 1},		/* not aligned */
		{I_TABLE, I_ARENA + (5 << 20)}, /* not mapped */
		{I_TABLE, I_ARENA + 0x80000},	/* overlaps */
		{I_TABLE, I_BRK},		/* not anonymous memory */
		{I_TABLE + 8, I_ARENA - 0x4000},
		{I_TABLE + 16, 65 | 64ULL << 32}, /* more free pools than pools */
		{I_TABLE + 16, 62 | 640ULL << 32},
		{I_TABLE + 48 * 100, I_TABLE}, /* an entry that is no arena */
	};
	struct heap_memory in;
	struct ledger_bytes *cover;
	struct glibc_heap h;
	struct ledger l;
	size_t n;

	image_make(&image);
	image_add_python(&image);
	in = image_input(&image);
	assert_int_equal(python_arenas__find(&in, &cover, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(cover[7].virt, 2 << 20);
	assert_int_equal(cover[7].rss, 0x5000);
	assert_int_equal(glibc_heap__walk(&in, &h), 0);
	struct ledger_share share[2] = {
		{.rest = LEDGER_PYTHON, .cover = cover, .ncover = in.maps->n}};
	struct ledger_heap heap = {.share = share, .nshares = 2};

	glibc_heap__share(&h, &share[1]);
	ledger__make(&image.maps, &heap, &l);
	assert_int_equal(l.line[LEDGER_PYTHON].virt_bytes, 2 << 20);
	assert_int_equal(l.line[LEDGER_PYTHON].rss_bytes, 0x5000);
	assert_int_equal(l.line[LEDGER_OTHER].virt_bytes, (1 << 20) + 0x1000);
	glibc_heap__free(&h);
	free(cover);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		image_make(&image);
		image_add_python(&image);
		in = image_input(&image);
		image_put(&image, damages[i].addr, damages[i].value);
		assert_int_equal(python_arenas__find(&in, &cover, &n), 0);
		assert_int_equal(n, 0);
		assert_null(cover);
	}
	assert_int_equal(python_arenas__version("/usr/bin/python3.11"), 11);
	assert_int_equal(python_arenas__version("/usr/lib/libpython3.9.so.1.0"), 9);
	assert_int_equal(python_arenas__version("/usr/bin/python3"), 0);
	assert_int_equal(python_arenas__version(""), 0);
}

static void test_any_damage(void **state)
{
	const struct ledger_block blocks[] = {{I_BRK + 0x290 + 16, 0x60, 0x60},
					      {I_OLD + 0x1000, 1e9, 77},
					      {I_MMAP + 16, 0x2ff0, 0x2ff0}};
	static const uint64_t starts[] = {I_LIBC, I_BRK, I_OLD, I_NEW, I_MMAP};
	struct glibc_heap h;
	struct ledger l;
	uint64_t x = 88172645463325252ULL;

	for (int i = 0; i < 3000; i++) {
		image_make(&image);
		for (int k = 0; k < 3; k++) {
			uint64_t at, value;

			x = util__mix64(x + i);
			at = starts[x % 5] + (x >> 8 & 0x3ff8);
			value = x >> 40 & 1 ? image_get(&image, at) + (x >> 41 & 0x30) - 0x10
				: x >> 42 & 1
					? image_get(&image, starts[x >> 43 & 3] + (x >> 50 & 0xff8))
					: util__mix64(x);
			image_put(&image, at, value);
		}
		walk(blocks, ARRAY_SIZE(blocks), &h);
		ledger_holds(&h, true, &l);
		glibc_heap__free(&h);
	}
}

/* The main heap is said to begin within the first of another arena, whose chunks then begin behind
 * its end: nothing is as long as one that goes back there, past the last address. */
static void test_a_heap_in_a_heap(void **state)
{
	const uint64_t first = (I_OLD + 48 + 0x70 + 2088 + 15) & ~15ULL, base = I_OLD + 16;
	struct glibc_heap h;
	struct ledger l;

	image_make(&image);
	image.map[0].path = (char *)"";
	image.map[1].path = (char *)"[heap]";
	image_put(&image, I_LIBC + 0x2000, base);
	image_put(&image, I_MAIN + 0x60, I_OLD + 0x7000); /* a top that is none */
	image_put(&image, first + 8, (base - first) | 5);
	assert_int_equal(walk(NULL, 0, &h), 0);
	assert_int_equal(h.heaps, 1);
	assert_int_equal(h.failed, 2);
	assert_true(sum_of(&h) < 1 << 20);
	ledger_holds(&h, true, &l);
	glibc_heap__free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_chunk),
		cmocka_unit_test(test_what_is_not_resident),
		cmocka_unit_test(test_live_blocks),
		cmocka_unit_test(test_estimate_that_exceeds),
		cmocka_unit_test(test_torn_read),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_no_glibc),
		cmocka_unit_test(test_older_releases),
		cmocka_unit_test(test_python),
		cmocka_unit_test(test_any_damage),
		cmocka_unit_test(test_a_heap_in_a_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
