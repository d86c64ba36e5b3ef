/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may be taken of the time that goes by, and of what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/allowance.h"
#include "core/log.h"
#include "core/util.h"

#define SECOND 1000000000ULL

static void none_is_no_limit(void **state)
{
	struct allowance a = {0};

	allowance__spend(&a, UINT64_MAX);
	assert_true(allowance__left(&a, 1));
}

static void burst_is_there_at_once(void **state)
{
	struct allowance a;

	allowance__init(&a, 0.02, 2 * SECOND, SECOND);
	allowance__spend(&a, 2 * SECOND - 1);
	assert_true(allowance__left(&a, SECOND));
	allowance__spend(&a, 1);
	assert_false(allowance__left(&a, SECOND));
}

static void debt_is_waited_for(void **state)
{
	struct allowance a;

	allowance__init(&a, 0.5, SECOND, 0);
	allowance__spend(&a, 3 * SECOND);
	assert_false(allowance__left(&a, 4 * SECOND));
	assert_true(allowance__left(&a, 4 * SECOND + 2));
}

static void time_without_use_is_no_more_than_a_burst(void **state)
{
	struct allowance a;

	allowance__init(&a, 0.5, SECOND, 0);
	assert_true(allowance__left(&a, 1000 * SECOND));
	allowance__spend(&a, SECOND);
	assert_false(allowance__left(&a, 1000 * SECOND));
}

static void clock_that_stands_gives_nothing(void **state)
{
	struct allowance a;

	allowance__init(&a, 1, SECOND, 5 * SECOND);
	allowance__spend(&a, SECOND);
	assert_false(allowance__left(&a, 5 * SECOND));
	assert_false(allowance__left(&a, 4 * SECOND));
}

/* Whoever takes 10 ms a thousand times a second gets the share. */
static void share_is_kept_over_time(void **state)
{
	struct allowance a;
	uint64_t spent = 0;

	allowance__init(&a, 0.02, 2 * SECOND, 0);
	for (uint64_t now = 0; now < 100 * SECOND; now += SECOND / 1000) {
		if (!allowance__left(&a, now))
			continue;
		allowance__spend(&a, SECOND / 100);
		spent += SECOND / 100;
	}
	assert_in_range(spent, 399 * SECOND / 100, 402 * SECOND / 100);
}

/* Of a kind of line that somebody can make come without end some are said, and that there are more.
 */
static void said(void *arg, const char *line, size_t len)
{
	++*(size_t *)arg;
}

static void lines_of_a_kind_are_few(void **state)
{
	size_t n = 0;

	log__divert(said, &n);
	for (int i = 0; i < 1000; i++)
		log_warn_of_many("file %d", i);
	log__divert(NULL, NULL);
	assert_int_equal(n, LOG_MANY + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_no_limit),
		cmocka_unit_test(burst_is_there_at_once),
		cmocka_unit_test(debt_is_waited_for),
		cmocka_unit_test(time_without_use_is_no_more_than_a_burst),
		cmocka_unit_test(clock_that_stands_gives_nothing),
		cmocka_unit_test(share_is_kept_over_time),
		cmocka_unit_test(lines_of_a_kind_are_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
