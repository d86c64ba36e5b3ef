/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GC trace lines and the pacer's goal, against values of the runtime's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "go/gctrace.h"
#include "go/memstats.h"
#include "go/release.h"

static void line(void **state)
{
	struct go_cycle c = {
		.number = 53,
		.start_ns = 313999999,
		.cpu_fraction = 0.0899,
		.sweep_term_ns = 980123,
		.mark_ns = 580999,
		.mark_term_ns = 2900,
		.sweep_term_cpu_ns = 1960246,
		.background_cpu_ns = 540000,
		.idle_cpu_ns = 65999,
		.mark_term_cpu_ns = 5800,
		.heap_start = 24 << 20,
		.heap_end = (25 << 20) - 1,
		.heap_live = 12 << 20,
		.goal = 44 << 20,
		.procs = 2,
		.forced = true,
	};
	char buf[512];

	go_gctrace__format(&c, buf, sizeof(buf));
	assert_string_equal(buf, "gc 53 @0.313s 8%: 0.98+0.58+0.002 ms clock, "
				 "1.9+0/0.54/0.065+0.005 ms cpu, 24->24->12 MB, 44 MB goal, "
				 "0 MB stacks, 0 MB globals, 2 P (forced)");
	c.mark_ns = 12345678;
	c.mark_term_ns = 9999999;
	c.start_ns = -1;
	c.forced = false;
	go_gctrace__format(&c, buf, sizeof(buf));
	assert_non_null(strstr(buf, "gc 53 @?s 8%: 0.98+12+9.9 ms clock"));
}

static void known_layouts(void **state)
{
	struct gobin_symbols sym = {.work = 0x1000, .gc_controller = 0x2000, .memstats = 0x3000};
	struct mw_go_config cfg;

	assert_null(go_layout__of(17));
	assert_null(go_layout__of(99));
	assert_non_null(go_layout__of(19));
	for (int minor = 0; minor < 100; minor++) {
		const struct go_layout *l = go_layout__of(minor);

		if (l) /* what the probe copies fits its record */
			assert_int_equal(go_gctrace__config(l, &sym, &cfg), 0);
	}
	assert_non_null(strstr(go_layout__known(), "1.22-1.24"));
}

static void goal(void **state)
{
	struct go_goal_input in = {
		.percent_goal = 8 << 20,
		.triggered = UINT64_MAX,
		.memory_limit = INT64_MAX,
		.mapped_ready = 20 << 20,
		.total_alloc = 30 << 20,
		.total_free = 26 << 20,
		.heap_free = 1 << 20,
		.heap_marked = 3 << 20,
		.minor = 22,
	};

	assert_int_equal(go_memstats__goal(&in), 8 << 20);
	in.sweep_min_trigger = 9 << 20;
	assert_int_equal(go_memstats__goal(&in), 9 << 20);
	in.triggered = 9 << 20;
	assert_int_equal(go_memstats__goal(&in), (9 << 20) + (64 << 10));
	/* A limit of 22 MiB with 15 MiB outside the heap: 7 MiB less the headroom of 1 MiB. */
	in.memory_limit = 22 << 20;
	assert_int_equal(go_memstats__goal(&in), 6 << 20);
	/* A limit that is passed already: what is marked. */
	in.memory_limit = 10 << 20;
	assert_int_equal(go_memstats__goal(&in), 3 << 20);
}

/* Rows by age; a release between two of them is like the older. */
static void releases_differ_by_rows(void **state)
{
	for (int minor = 10; minor < 99; minor++)
		assert_true(go_release__of(minor)->minor <= go_release__of(minor + 1)->minor);
	for (int minor = 18; minor < 99; minor++)
		assert_true(go_release__of(minor)->minor <= minor);
	assert_int_equal(go_release__of(22)->profile_frames, 32);
	assert_int_equal(go_release__of(23)->profile_frames, 1026);
	assert_true(go_release__of(19)->prints_largest_scan);
	assert_false(go_release__of(20)->prints_largest_scan);
	assert_int_equal(go_release__of(20)->headroom_percent, 0);
	assert_int_equal(go_release__of(21)->headroom_percent, 3);
	assert_ptr_equal(go_release__of(25), go_release__of(24));
	assert_string_equal(go_release__of(19)->wait_reasons[18], "semacquire");
	assert_string_equal(go_release__of(26)->wait_reasons[13], "semacquire");
	assert_int_equal(go_release__of(99)->nwait_reasons, go_release__of(26)->nwait_reasons);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(releases_differ_by_rows),
		cmocka_unit_test(line),
		cmocka_unit_test(known_layouts),
		cmocka_unit_test(goal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
