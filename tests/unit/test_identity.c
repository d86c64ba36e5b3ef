/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process is its number and its start: the next owner of the number is another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/deep.h"
#include "daemon/pagefaults.h"
#include "observe/observer_priv.h"

#define START_NS 4000000000000ULL
#define TICK_NS 10000000ULL

static void starts_tell_owners_of_a_number_apart(void **state)
{
	const struct deep_id first = {812, START_NS}, next = {812, START_NS + 3 * TICK_NS};

	assert_true(deep_id__is_same(first, first));
	assert_false(deep_id__is_same(first, next));
	assert_false(deep_id__is_same(next, first));
	assert_false(deep_id__is_same(first, (struct deep_id){813, START_NS}));
}

/* /proc tells a start in clock ticks, the iterator in nanoseconds. */
static void a_start_in_clock_ticks_is_the_same(void **state)
{
	const struct deep_id exact = {812, START_NS + TICK_NS - 1}, ticks = {812, START_NS};

	assert_true(deep_id__is_same(exact, ticks));
	assert_true(deep_id__is_same(ticks, exact));
}

static void whoever_has_the_number_where_no_start_is_known(void **state)
{
	const struct deep_id known = {812, START_NS}, unknown = {812, 0};

	assert_true(deep_id__is_same(known, unknown));
	assert_true(deep_id__is_same(unknown, known));
	assert_false(deep_id__is_same((struct deep_id){813, 0}, known));
}

static void resident_is_of_that_process(void **state)
{
	static struct observed first = {.pub = {.pid = 812, .index = 0, .born_ns = START_NS}},
			       other = {.pub = {.pid = 900, .index = 1, .born_ns = START_NS}};
	static struct observer o = {.targets = {&first, &other}, .ntargets = 2};

	assert_ptr_equal(pagefaults__find(&o, (struct deep_id){812, START_NS + 1}), &first.pub);
	/* the end of the first is not known yet */
	assert_null(pagefaults__find(&o, (struct deep_id){812, START_NS + 1000 * TICK_NS}));
	/* the first sample of the next came before a pass has seen it */
	assert_null(pagefaults__find(&o, (struct deep_id){900, START_NS - 1000 * TICK_NS}));
	assert_null(pagefaults__find(&o, (struct deep_id){901, START_NS}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_tell_owners_of_a_number_apart),
		cmocka_unit_test(a_start_in_clock_ticks_is_the_same),
		cmocka_unit_test(whoever_has_the_number_where_no_start_is_known),
		cmocka_unit_test(resident_is_of_that_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
