/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf/alloc.bpf.c against a simulated program, while windows of sampling open and close, and until
 * the probes are stopped. What the events add up to is what the program holds, and every call is
 * either followed or counted as lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bpf_sim.h"

/* Nothing between the programs and the sum of their events gets lost, whatever the order. */
static void exact_mode_tells_what_the_program_holds(void **state)
{
	for (u64 seed = 1; seed <= 40; seed++) {
		start(1, seed);
		sim.no_sessions = seed % 2;
		for (int n = 0; n < 2000; n++) {
			step(0);
			if (n % 16 == 0 && is_idle())
				compare();
		}
		finish();
		compare();
		assert_int_equal(native_lost(TARGET, MW_LOSS_PENDING), 0);
		compare_counters();
	}
}

static void calls_left_by_jumps_are_counted(void **state)
{
	u64 jumps = 0;

	for (u64 seed = 1; seed <= 40; seed++) {
		start(1, seed);
		sim.no_sessions = seed % 2;
		for (int n = 0; n < 2000; n++)
			step(40);
		finish();
		jumps += sim.left;
		compare();
		compare_counters();
		assert_int_equal(native_lost(TARGET, MW_LOSS_PENDING), sim.left);
		assert_int_equal(native_lost(TARGET, MW_LOSS_DEPTH), sim.depth_lost);
	}
	assert_true(jumps > 1000);
}

/* A block is in with its allocation and its free, or with neither; `live` has those that are in. */
static void sampled_mode_keeps_both_ends(void **state)
{
	u64 sampled = 0, total = 0;

	for (u64 seed = 1; seed <= 80; seed++) {
		start(5000, seed);
		sim.no_sessions = seed % 4 < 2;
		for (int n = 0; n < 2000; n++)
			step(seed % 2 ? 0 : 20);
		finish();
		compare();
		compare_live();
		sampled += sim.sent_allocs;
		total += native_count(TARGET, MW_C_ALLOCS);
		assert_int_equal(native_count(TARGET, MW_C_SAMPLED_ALLOCS), sim.sent_allocs);
		assert_int_equal(native_count(TARGET, MW_C_SAMPLED_FREES), sim.sent_frees);
	}
	assert_true(sampled > total / 10 && sampled < total / 2);
}

/* An allocation of the time between windows is in no profile; frees of those that are always count.
 */
static void windows_open_and_close(void **state)
{
	u64 sampled = 0;

	for (u64 seed = 1; seed <= 40; seed++) {
		start(1000, seed);
		sim.no_sessions = seed % 2;
		for (int n = 0; n < 2000; n++) {
			if (!rnd(50))
				alloc_config.until_ns = rnd(2) ? 1 : 1ULL << 62;
			step(0);
			if (n % 16 == 0 && is_idle())
				compare();
		}
		alloc_config.until_ns = 1;
		sampled += sim.sent_allocs;
		finish();
		compare();
		compare_live();
	}
	assert_true(sampled > 1000);
}

/* A call that is under way when the probes stop has not taken place, whatever comes of it. */
static void what_is_under_way_at_the_stop(void **state)
{
	u64 open = 0;

	for (u64 seed = 1; seed <= 200; seed++) {
		start(seed % 4 < 2 ? 1 : 1000, seed);
		sim.no_new = true; /* one that throws is noticed by the call behind it */
		for (u32 n = 300 + rnd(50); n; n--)
			step(0);
		memcpy(sim.held, sim.size_of, sizeof(sim.held));
		open += !is_idle();
		sim.stopped = true;
		alloc_config.sample_bytes = 0;
		for (int n = 0; n < 300; n++)
			step(0);
		for (u32 i = 0; i < THREADS; i++) {
			while (sim.t[i].depth)
				end(i);
		}
		memcpy(sim.size_of, sim.held, sizeof(sim.held));
		compare();
		if (sim.expect_exact)
			compare_counters();
		else
			compare_live();
		assert_int_equal(native_lost(TARGET, MW_LOSS_PENDING), 0);
	}
	assert_true(open > 50);
}

/* An allocation through an allocator that lies over another one counts once, as does its free. */
static void layers_count_once(void **state)
{
	for (u64 seed = 1; seed <= 80; seed++) {
		bool exactly = seed % 2;

		start(exactly ? 1 : 5000, seed);
		sim.layers = sim.no_handlers = true;
		alloc_config.layers = 1;
		if (!exactly) { /* what is not sampled is counted at its entry, by its thread's mark
				 */
			sim.threads = 1;
			sim.no_failures = true;
		}
		for (int n = 0; n < 2000; n++) {
			step(0);
			if (n % 16 == 0 && is_idle())
				compare();
		}
		finish();
		compare();
		compare_counters();
		if (!exactly)
			compare_live();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_mode_tells_what_the_program_holds),
		cmocka_unit_test(calls_left_by_jumps_are_counted),
		cmocka_unit_test(sampled_mode_keeps_both_ends),
		cmocka_unit_test(windows_open_and_close),
		cmocka_unit_test(what_is_under_way_at_the_stop),
		cmocka_unit_test(layers_count_once),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	native__reset();
	return failed;
}
