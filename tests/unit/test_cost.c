/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What observing costs: what it is made of, and what the programs count for it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "bpf_programs.h"
#include "core/util.h"
#include "observe/cost.h"

#define SP 0x7ffc00001000
#define BLOCK 0x10000

/* Numbers that add up to each other in no way. */
static const struct calibration sampled = {
	.alloc_ns = 410, .free_ns = 400, .stepped_ns = 13000, .timed_ns = 45};
static const struct calibration each = {
	.alloc_ns = 700, .free_ns = 480, .stepped_ns = 13000, .timed_ns = 45, .every_return = true};

static void assert_cost(const struct calibration *k, const uint64_t *c, double hits, double misses,
			double samples)
{
	struct cost cost = cost__of(k, c);

	assert_true(fabs(cost.hits_ns - hits) < 1e-6);
	assert_true(fabs(cost.misses_ns - misses) < 1e-6);
	assert_true(fabs(cost.samples_ns - samples) < 1e-6);
}

static void hits_are_allocations_and_frees(void **state)
{
	uint64_t c[MW_C_COUNT] = {
		[MW_C_ALLOCS] = 1000,	[MW_C_FAILED_ALLOCS] = 10, [MW_C_FREES] = 900,
		[MW_C_NULL_FREES] = 50, [MW_C_NESTED] = 7,	   [MW_C_SAMPLE_NS] = 12345};

	assert_cost(&sampled, c, 1010 * 410 + 957 * 400, 0, 12345);
	assert_cost(&each, c, 1010 * 700 + 957 * 480, 0, 12345);
	/* a realloc is both, in one hit */
	c[MW_C_REALLOCS] = 200;
	assert_cost(&sampled, c, 1010 * 410 + 757 * 400, 0, 12345);
}

/* Sampled calls alone take a return probe, which was not among what was measured. */
static void returns(void **state)
{
	uint64_t c[MW_C_COUNT] = {[MW_C_ALLOCS] = 1000, [MW_C_RETURNS] = 30};

	assert_cost(&sampled, c, 1000 * 410 + 30 * 200, 0, 0);
	assert_cost(&each, c, 1000 * 700, 0, 0);
}

static void single_steps(void **state)
{
	uint64_t c[MW_C_COUNT] = {[MW_C_ALLOCS] = 1000, [MW_C_FREES] = 900, [MW_C_STEPPED] = 900};

	assert_cost(&sampled, c, 1000 * 410 + 900 * 13000, 0, 0);
	/* an operator new has probes on its ret instructions: hits of their own */
	c[MW_C_RETS] = 100;
	assert_cost(&sampled, c, 1000 * 410 + 1000 * 13000, 0, 0);
}

static void misses_follow_what_a_free_takes(void **state)
{
	uint64_t c[MW_C_COUNT] = {[MW_C_ALLOCS] = 1000, [MW_C_FREES] = 640};
	struct calibration unknown = sampled;

	/* all as near as at the start */
	c[MW_C_TIMED_FREES] = 10;
	c[MW_C_TIMED_FREE_NS] = 450;
	assert_cost(&sampled, c, 1000 * 410 + 640 * 400, 0, 0);
	c[MW_C_TIMED_FREE_NS] = 300;
	assert_cost(&sampled, c, 1000 * 410 + 640 * 400, 0, 0);
	/* 100 ns further, half as often again, at each hit */
	c[MW_C_TIMED_FREE_NS] = 1450;
	assert_cost(&sampled, c, 1000 * 410 + 640 * 400, 1.5 * 100 * 1640, 0);
	unknown.timed_ns = 0;
	assert_cost(&unknown, c, 1000 * 410 + 640 * 400, 0, 0);
}

/* What disturbs only adds; what could not be measured is no price. */
static void the_least_of_several_measurements(void **state)
{
	struct calibration k = {0};

	calibrate__least(&k, &sampled);
	assert_memory_equal(&k, &sampled, sizeof(k));
	calibrate__least(&k, &(struct calibration){.alloc_ns = 900, .free_ns = 390, .timed_ns = 50});
	assert_true(k.alloc_ns == 410 && k.free_ns == 390);
	assert_true(k.stepped_ns == 13000 && k.timed_ns == 45);
}

/* A price that falls in between takes nothing back; neither does a call that was none. */
static void cost_between_two_readings(void **state)
{
	uint64_t last[MW_C_COUNT] = {[MW_C_ALLOCS] = 1000000, [MW_C_FREES] = 500};
	uint64_t now[MW_C_COUNT] = {[MW_C_ALLOCS] = 1000100, [MW_C_FREES] = 499};
	struct calibration lower = sampled;

	assert_true(fabs(cost__since(&sampled, last, now) - 100 * 410) < 1e-6);
	assert_memory_equal(last, now, sizeof(now));
	lower.alloc_ns = 300;
	now[MW_C_ALLOCS] += 10;
	assert_true(fabs(cost__since(&lower, last, now) - 10 * 300) < 1e-6);
	assert_true(cost__since(&lower, last, now) == 0);
}

static int reads[3]; /* reads beside BLOCK, others, and how long the next takes */

static int read_user(void *to, size_t size, u64 from)
{
	reads[from == (BLOCK ^ 128) ? 0 : 1]++;
	native.clock_ns += reads[2];
	memset(to, 0, size);
	return reads[2] < 0 ? -EFAULT : 0;
}

static void machine(u64 sample_bytes)
{
	native__reset();
	native.read_user = read_user;
	memset(reads, 0, sizeof(reads));
	alloc_config.sample_bytes = sample_bytes;
	native_watch(0);
}

static void give(int times, int timed_ns)
{
	reads[2] = timed_ns;
	native.cookie = MW_COOKIE(0, MW_FN_FREE, 0);
	for (int i = 0; i < times; i++)
		mw_alloc_free(&(struct pt_regs){.sp = SP, .parm = {BLOCK}});
}

/* One free in 64 is timed, with the reading; one that cannot read or is interrupted counts for
 * nothing. */
static void some_frees_are_timed(void **state)
{
	for (u64 rate = 1; rate <= 512 << 10; rate += (512 << 10) - 1) {
		u64 ns[2];

		for (int i = 0; i < 2; i++) {
			machine(rate);
			give(640, i ? 250 : 50);
			assert_int_equal(reads[0], 10);
			assert_int_equal(native_count(0, MW_C_FREES), 640);
			assert_int_equal(native_count(0, MW_C_TIMED_FREES), 10);
			ns[i] = native_count(0, MW_C_TIMED_FREE_NS);
		}
		assert_true(ns[0] >= 10 * 50);
		assert_int_equal(ns[1] - ns[0], 10 * 200);
		give(64, -1);
		give(64, 5000000);
		assert_int_equal(reads[0], 12);
		assert_int_equal(native_count(0, MW_C_TIMED_FREES), 10);
		assert_int_equal(native_count(0, MW_C_TIMED_FREE_NS), ns[1]);
		assert_int_equal(reads[1], 0);
	}
}

/* realloc(p, n) is an allocation and a free, and one hit; one that is refused is none of both. */
static void a_realloc_is_one_hit(void **state)
{
	for (u64 rate = 1; rate <= 2; rate++) {
		struct pt_regs r = {.ip = 0x500000, .sp = SP, .parm = {BLOCK, 1 << 20}};

		machine(rate);
		assert_true(native_enter(0, MW_FN_REALLOC, 0, 0, &r));
		assert_int_equal(native_count(0, MW_C_ALLOCS), 1);
		assert_int_equal(native_count(0, MW_C_FREES), 1);
		assert_int_equal(native_count(0, MW_C_REALLOCS), 1);
		native_leave(0, MW_FN_REALLOC, 0, &(struct pt_regs){.sp = SP + 8});
		assert_int_equal(native_count(0, MW_C_FAILED_ALLOCS), 1);
		assert_int_equal(native_count(0, MW_C_ALLOCS), 0);
		assert_int_equal(native_count(0, MW_C_FREES), 0);
		assert_int_equal(native_count(0, MW_C_REALLOCS), 0);
	}
	/* one that is not sampled is settled at its entry */
	machine(1ULL << 40);
	native_enter(0, MW_FN_REALLOC, 0, 0,
		     &(struct pt_regs){.ip = 0x500000, .sp = SP, .parm = {BLOCK, 16}});
	assert_int_equal(native_count(0, MW_C_FREES), 1);
	assert_int_equal(native_count(0, MW_C_REALLOCS), 1);
}

/* What a stub hands over has a stack to be taken: that is time in the programs, too. */
static void stubs_cost_their_samples(void **state)
{
	machine(512 << 10);
	native.cookie = MW_COOKIE(0, MW_FN_MALLOC, 0);
	mw_fast_alloc(&(struct pt_regs){.ip = 0x500000, .sp = SP, .rc = BLOCK, .parm = {100}});
	assert_true(native_count(0, MW_C_SAMPLE_NS) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hits_are_allocations_and_frees),
		cmocka_unit_test(returns),
		cmocka_unit_test(single_steps),
		cmocka_unit_test(misses_follow_what_a_free_takes),
		cmocka_unit_test(the_least_of_several_measurements),
		cmocka_unit_test(cost_between_two_readings),
		cmocka_unit_test(some_frees_are_timed),
		cmocka_unit_test(a_realloc_is_one_hit),
		cmocka_unit_test(stubs_cost_their_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
