/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"

#define N 100000

/* The elements found by a hash, in any order. */
static size_t count(const struct hash_index *x, uint64_t hash, uint32_t wanted, bool *ret_there)
{
	size_t at = HASH_INDEX_START, n = 0;
	uint32_t i;

	*ret_there = false;
	while (hash_index__next(x, hash, &at, &i)) {
		*ret_there |= i == wanted;
		n++;
	}
	return n;
}

static void an_empty_one_has_nothing(void **state)
{
	struct hash_index x = {0};
	bool there;

	assert_int_equal(count(&x, 0, 0, &there), 0);
	assert_int_equal(hash_index__bytes(&x), 0);
	hash_index__fini(&x);
}

static void elements_are_found_while_it_grows(void **state)
{
	struct hash_index x = {0};
	bool there;

	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(hash_index__reserve(&x), 0);
		hash_index__add(&x, util__mix64(i));
	}
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(count(&x, util__mix64(i), i, &there), 1);
		assert_true(there);
	}
	for (uint32_t i = N; i < 2 * N; i++)
		assert_int_equal(count(&x, util__mix64(i), i, &there), 0);
	assert_in_range(hash_index__bytes(&x), 12 * N, 40 * N);
	hash_index__fini(&x);
	assert_int_equal(count(&x, util__mix64(1), 1, &there), 0);
}

/* One hash for many, and hashes that meet in their low bits: each is found, none by another's. */
static void equal_hashes(void **state)
{
	struct hash_index x = {0};
	bool there;

	for (uint32_t i = 0; i < 3000; i++) {
		assert_int_equal(hash_index__reserve(&x), 0);
		hash_index__add(&x, i % 3 == 0 ? 7 : 7 + ((uint64_t)i << 40));
	}
	assert_int_equal(count(&x, 7, 2997, &there), 1000);
	assert_true(there);
	assert_int_equal(count(&x, 7 + ((uint64_t)2998 << 40), 2998, &there), 1);
	assert_true(there);
	hash_index__fini(&x);
}

static uint64_t unmix64(uint64_t x)
{
	x ^= x >> 33;
	x *= 0x9cb4b2f8129337dbULL;
	x ^= x >> 33;
	x *= 0x4f74430c22a54005ULL;
	return x ^ x >> 33;
}

/* Words that somebody chose so that they meet in the low bits of a function that everybody knows:
 * they are as scattered as any. */
static void chosen_words_do_not_meet(void **state)
{
	enum { WORDS = 4096, SLOTS = 1 << 20 };
	cleanup_free uint8_t *seen = calloc(SLOTS, 1);
	size_t met = 0;

	for (uint64_t i = 0; i < WORDS; i++) {
		uint64_t word = unmix64(i << 32);

		assert_int_equal(util__mix64(word), i << 32);
		met += seen[keyhash__word(word) & (SLOTS - 1)]++ > 0;
	}
	assert_in_range(met, 0, WORDS / 8);
}

/* A flipped top bit in one word of eight bytes and what takes it back in the next. */
static void chosen_texts_do_not_meet(void **state)
{
	uint64_t a[2] = {0x4141414141414141ULL, 0x4242424242424242ULL};
	uint64_t b[2] = {a[0] ^ 1ULL << 63, a[1] ^ 1ULL << 63 ^ 1ULL << 34};

	assert_int_equal(util__checksum(a, sizeof(a)), util__checksum(b, sizeof(b)));
	assert_int_not_equal(keyhash__bytes(a, sizeof(a)), keyhash__bytes(b, sizeof(b)));
	assert_int_not_equal(keyhash__words(a[0], a[1]), keyhash__words(b[0], b[1]));
	assert_int_equal(keyhash__bytes(a, sizeof(a)), keyhash__words(a[0], a[1]));
	assert_int_not_equal(keyhash__bytes("a", 1),
			     keyhash__bytes("a", 2)); /* its length counts */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_has_nothing),
		cmocka_unit_test(elements_are_found_while_it_grows),
		cmocka_unit_test(equal_hashes),
		cmocka_unit_test(chosen_words_do_not_meet),
		cmocka_unit_test(chosen_texts_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
