/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often stubs sample where much is allocated, and where it is no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/pace.h"

#define WANTED 1024
#define MUCH 25000000.0 /* bytes a second, of which one sample a `rate` is taken */

struct run {
	struct pace pace;
	uint64_t rate, now_ns;
	double samples;
};

/* A quarter of a second in which so much is allocated. */
static uint64_t passes(struct run *r, double bytes_per_second)
{
	r->now_ns += 250000000;
	r->samples += bytes_per_second / 4 / (double)r->rate;
	r->rate = pace__next(&r->pace, r->rate, (uint64_t)r->samples, r->now_ns);
	return r->rate;
}

static struct run start(void)
{
	struct run r = {.rate = WANTED};

	passes(&r, 0); /* the first look notes what is wanted */
	assert_int_equal(r.rate, WANTED);
	return r;
}

/* As coarse at once as keeps it below 500 a second, and so it stays. */
static void much_is_sampled_less(void **state)
{
	struct run r = start();

	assert_int_equal(passes(&r, MUCH), 64 << 10);
	for (int i = 0; i < 100; i++)
		assert_int_equal(passes(&r, MUCH), 64 << 10);
}

/* Back by half at a time, when it is less than a quarter of what is allowed, to what is wanted and
 * no further. */
static void and_as_wanted_again(void **state)
{
	struct run r = start();

	passes(&r, MUCH);
	for (uint64_t rate = 32 << 10; rate > WANTED; rate /= 2)
		assert_int_equal(passes(&r, 0), rate);
	for (int i = 0; i < 100; i++)
		assert_int_equal(passes(&r, 0), WANTED);
	assert_int_equal(passes(&r, MUCH), 64 << 10); /* and it begins again */
}

/* What would be too much at the finer interval, or nearly, does not go back and forth. */
static void in_between_it_stays(void **state)
{
	struct run r = start();

	passes(&r, MUCH);
	for (int i = 0; i < 100; i++)
		assert_int_equal(passes(&r, MUCH / 2), 64 << 10);
	assert_int_equal(passes(&r, MUCH / 8), 32 << 10);
	for (int i = 0; i < 100; i++)
		assert_int_equal(passes(&r, MUCH / 5), 32 << 10);
}

/* Beyond the coarsest nothing is sampled any more: it ends there. */
static void there_is_a_coarsest(void **state)
{
	struct run r = start();

	assert_int_equal(passes(&r, 1e18), PACE_MAX_SAMPLE_BYTES);
	assert_int_equal(passes(&r, 1e18), PACE_MAX_SAMPLE_BYTES);
}

/* One that wants fewer than would be allowed is never sampled more often. */
static void what_is_wanted_is_the_finest(void **state)
{
	struct run r = {.rate = 1 << 20};

	for (int i = 0; i < 10; i++)
		assert_int_equal(passes(&r, MUCH), 1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(much_is_sampled_less),
		cmocka_unit_test(and_as_wanted_again),
		cmocka_unit_test(in_between_it_stays),
		cmocka_unit_test(there_is_a_coarsest),
		cmocka_unit_test(what_is_wanted_is_the_finest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
