/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often the pages of a process that changes, or does not, are looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "observe/still.h"

#define S 1000000000ULL

/* Each second for so long, of a process of that size; the seconds in which it was checked, as bits.
 */
static uint64_t checks(struct still *s, bool has_news, uint64_t rss_bytes, unsigned from,
		       unsigned to, unsigned *ret_looks)
{
	uint64_t seen = 0;

	*ret_looks = 0;
	for (unsigned t = from; t < to; t++) {
		if (!still__is_due(s, has_news, t * S))
			continue;
		seen |= 1ULL << t;
		*ret_looks += still__check(s, has_news, rss_bytes, t * S);
	}
	return seen;
}

/* Twice as long each time, at most eight seconds; its pages are looked at once. */
static void who_is_still_is_checked_rarely(void **state)
{
	struct still s = {0};
	unsigned looks;

	assert_int_equal(checks(&s, false, 1000, 1, 64, &looks),
			 1ULL << 1 | 1ULL << 2 | 1ULL << 4 | 1ULL << 8 | 1ULL << 16 | 1ULL << 24 |
				 1ULL << 32 | 1ULL << 40 | 1ULL << 48 | 1ULL << 56);
	assert_int_equal(looks, 1);
}

/* News are not waited for, and whoever had some is soon looked at again. */
static void news_end_it(void **state)
{
	struct still s = {0};
	unsigned looks;

	checks(&s, false, 1000, 1, 30, &looks);
	assert_false(still__is_due(&s, false, 30 * S));
	assert_int_equal(checks(&s, true, 1000, 30, 33, &looks), 7ULL << 30);
	assert_int_equal(looks, 3);
	assert_int_equal(checks(&s, false, 1000, 33, 40, &looks),
			 1ULL << 33 | 1ULL << 35 | 1ULL << 39);
	assert_int_equal(looks, 0);
}

/* A change of size alone is found at the next check, and then it is checked each second. */
static void so_does_another_size(void **state)
{
	struct still s = {0};
	unsigned looks;

	checks(&s, false, 1000, 1, 30, &looks);
	assert_int_equal(checks(&s, false, 500, 30, 34, &looks), 1ULL << 32 | 1ULL << 33);
	assert_int_equal(looks, 1);
	assert_int_equal(checks(&s, false, 400, 34, 36, &looks), 1ULL << 35);
	assert_int_equal(looks, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_still_is_checked_rarely),
		cmocka_unit_test(news_end_it),
		cmocka_unit_test(so_does_another_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
