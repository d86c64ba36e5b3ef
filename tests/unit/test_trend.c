/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Synthetic series of every kind, each with several noises, lengths and seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "model/hist.h"
#include "model/trend.h"

#define MIB (1024.0 * 1024)
#define MAX 600

static uint64_t rng;

static double uniform(void)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)(rng >> 11) / (double)(1ULL << 53);
}

static double gauss(void)
{
	return sqrt(-2 * log(uniform() + 1e-300)) * cos(2 * M_PI * uniform());
}

typedef double (*shape_fn)(double x);

/* x in 0..1, value about 0..1 */
static double linear(double x)
{
	return 0.1 + 0.9 * x;
}
static double linear_on_base(double x)
{
	return 0.8 + 0.2 * x;
}
static double accelerating(double x)
{
	return 0.1 + x * x;
}
static double cache(double x)
{
	return 1 - exp(-4 * x);
}
static double slow_cache(double x)
{
	return 1 - exp(-1.8 * x);
}
static double hard_cache(double x)
{
	return fmin(1, x / 0.6);
}
static double early_full(double x)
{
	return fmin(1, x / 0.35);
}
static double startup(double x)
{
	return fmin(1, x / 0.1);
}
static double loaded_before(double x)
{
	return 1;
}
static double step(double x)
{
	return x < 0.5 ? 0.2 : 1;
}
static double late_step(double x)
{
	return x < 0.85 ? 0.2 : 1;
}
static double sawtooth(double x)
{
	return 0.1 + fmod(x * 7.3, 1);
}
static double fast_sawtooth(double x)
{
	return 0.1 + fmod(x * 31.7, 1);
}
static double slow_sawtooth(double x)
{
	return 0.1 + fmod(x * 2.6, 1);
}
static double leaking_sawtooth(double x)
{
	return 0.1 + 0.4 * fmod(x * 9.3, 1) + x;
}
static double grow_then_free(double x)
{
	return x < 0.6 ? x / 0.6 : 0.05;
}
static double startup_then_leak(double x)
{
	return fmin(1, x / 0.08) + 0.15 * x;
}
static double late_cache(double x)
{
	return x < 0.2 ? 0 : 1 - exp(-4 * (x - 0.2));
}
static double late_leak(double x)
{
	return x < 0.3 ? 0.1 : 0.1 + x - 0.3;
}
static double half_cache(double x)
{
	return 1 - exp(-x);
}
static double staircase(double x)
{
	return 0.2 + floor(x * 9.5) / 9.5;
}

static size_t make(struct trend_point *p, size_t n, shape_fn shape, double noise, uint64_t seed)
{
	rng = seed * 7919 + 13;
	for (size_t i = 0; i < n; i++) {
		double x = (double)i / (double)(n - 1);

		p[i] = (struct trend_point){
			.t_s = 1e6 + 2.0 * (double)i, .allocs = -1, .frees = -1};
		p[i].bytes = 64 * MIB * (shape(x) + noise * gauss());
	}
	return n;
}

static void expect(shape_fn shape, const char *name, enum trend_kind kind, enum trend_kind other,
		   bool leak)
{
	static const double noises[] = {0, 0.004, 0.015};
	static const size_t lengths[] = {24, 60, 150, 600};
	struct trend_point p[MAX];
	char text[256];
	struct trend t;
	int wrong = 0;

	for (size_t l = 0; l < 4; l++) {
		for (size_t k = 0; k < 3; k++) {
			for (uint64_t seed = 1; seed <= 10; seed++) {
				size_t n = make(p, lengths[l], shape, noises[k], seed);

				assert_int_equal(trend__judge(p, n, NULL, 0, 0, &t), 0);
				if ((t.kind == kind || t.kind == other) && t.likely_leak == leak)
					continue;
				if (!wrong++)
					print_error("%s n %zu noise %g seed %d: %s\n", name, n,
						    noises[k], (int)seed,
						    trend__verdict(text, sizeof(text), &t, NULL));
			}
		}
	}
	if (wrong)
		fail_msg("%s: %d of 120 wrong", name, wrong);
}
#define EXPECT(shape, ...) expect(shape, #shape, __VA_ARGS__)

static void leaks(void **state)
{
	EXPECT(linear, TREND_LINEAR, TREND_LINEAR, true);
	EXPECT(linear_on_base, TREND_LINEAR, TREND_LINEAR, true);
	EXPECT(accelerating, TREND_LINEAR, TREND_LINEAR, true);
	EXPECT(leaking_sawtooth, TREND_LINEAR, TREND_LINEAR, true);
	EXPECT(late_leak, TREND_LINEAR, TREND_LINEAR, true);
	EXPECT(staircase, TREND_LINEAR, TREND_LINEAR, true);
}

static void no_leaks(void **state)
{
	EXPECT(cache, TREND_SATURATING, TREND_SATURATING, false);
	EXPECT(slow_cache, TREND_SATURATING, TREND_SATURATING, false);
	EXPECT(late_cache, TREND_SATURATING, TREND_LINEAR, false);
	EXPECT(hard_cache, TREND_SATURATING, TREND_SATURATING, false);
	EXPECT(early_full, TREND_SATURATING, TREND_SATURATING, false);
	EXPECT(startup, TREND_STARTUP, TREND_STARTUP, false);
	EXPECT(loaded_before, TREND_FLAT, TREND_FLAT, false);
	EXPECT(step, TREND_STEP, TREND_STEP, false);
	EXPECT(late_step, TREND_STEP, TREND_STEP, false);
	EXPECT(sawtooth, TREND_CHURN, TREND_CHURN, false);
	EXPECT(fast_sawtooth, TREND_CHURN, TREND_CHURN, false);
	EXPECT(slow_sawtooth, TREND_CHURN, TREND_CHURN, false);
	EXPECT(grow_then_free, TREND_RELEASED, TREND_RELEASED, false);
}

/* A cache that is two thirds full may be called growing, but not a leak. */
static void half_full_cache(void **state)
{
	struct trend_point p[MAX];
	struct trend t;

	for (size_t n = 8; n <= 600; n *= 2) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			trend__classify(p, make(p, n, half_cache, 0.002, seed), &t);
			assert_false(t.likely_leak);
		}
	}
}

static void leak_behind_startup(void **state)
{
	struct trend_point p[MAX];
	struct trend t;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		trend__classify(p, make(p, 150, startup_then_leak, 0.002, seed), &t);
		assert_int_equal(t.kind, TREND_LINEAR);
		assert_true(t.likely_leak);
		/* the slope is that of the leak, not of the load: 0.15 * 64 MiB in 298 s */
		assert_true(fabs(t.slope_bytes_s / (0.15 * 64 * MIB / 298) - 1) < 0.15);
	}
}

/* Blocks leak at random, about `events` of them in the whole series. */
static void rare_leak(void **state)
{
	int found = 0, growing = 0;

	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct trend_point p[MAX];
		double bytes = 0;
		struct trend t;

		rng = seed * 104729;
		for (size_t i = 0; i < 200; i++) {
			if (uniform() < 0.15)
				bytes += 4096;
			p[i] = (struct trend_point){2.0 * (double)i, bytes, -1, -1};
		}
		trend__classify(p, 200, &t);
		found += t.likely_leak;
		growing += t.kind == TREND_LINEAR;
	}
	/* where chance made the last part slower it is called growing, and judged again later */
	assert_true(growing >= 95);
	assert_true(found >= 80);
}

/* A cache of n slots hit by random keys: the classic false alarm. */
static void random_cache(void **state)
{
	int alarms = 0;

	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct trend_point p[MAX];
		bool have[1000] = {0};
		double bytes = 0, allocs = 0;
		struct trend t;

		rng = seed * 15485863;
		for (size_t i = 0; i < 120; i++) {
			for (int k = 0; k < 25; k++) {
				size_t key = (size_t)(uniform() * 1000);

				bytes += have[key] ? 0 : 2048;
				allocs += !have[key];
				have[key] = true;
			}
			p[i] = (struct trend_point){2.0 * (double)i, bytes, allocs, 0};
		}
		trend__classify(p, 120, &t);
		alarms += t.likely_leak;
	}
	assert_int_equal(alarms, 0);
}

static void slope_is_robust(void **state)
{
	struct trend_point p[MAX];
	size_t n = make(p, 100, linear, 0, 1);

	for (size_t i = 5; i < 100; i += 5)
		p[i].bytes = i % 2 ? 1e12 : 0;
	assert_true(fabs(trend__slope(p, n) / (0.9 * 64 * MIB / 198) - 1) < 0.1);
	assert_true(trend__slope(p, 1) == 0 && trend__slope(p, 0) == 0);
}

/*
 * A stack whose blocks are followed one by one: allocated, freed, counted by when they were born,
 * as the live heap does, with a snapshot every two seconds.
 */
#define BLOCKS (1 << 19)
struct stack_sim {
	struct hist_ages ages;
	struct trend_series series;
	uint32_t born_ms[BLOCKS]; /* of each block, in order of birth */
	bool gone[BLOCKS];
	size_t n, oldest;
	double frees;
	uint32_t now_ms;
};
static struct stack_sim sim;

static void sim_alloc(void)
{
	assert_true(sim.n < BLOCKS);
	sim.gone[sim.n] = false;
	sim.born_ms[sim.n++] = sim.now_ms;
	hist_ages__alloc(&sim.ages, sim.now_ms, 1);
}

static void sim_free(size_t i)
{
	if (sim.gone[i])
		return;
	sim.gone[i] = true;
	sim.frees++;
	hist_ages__free(&sim.ages, sim.born_ms[i], 1);
}

static void sim_free_oldest(void)
{
	while (sim.gone[sim.oldest])
		sim.oldest++;
	sim_free(sim.oldest);
}

/* Called once every 100 ms of simulated time. */
typedef void (*sim_fn)(uint32_t step);

static void sim_snapshot(struct trend *ret, double leak_after_s)
{
	struct trend_cohort c[HIST_AGES];
	double allocs = (double)sim.n;

	trend_series__add(&sim.series,
			  (struct trend_point){sim.now_ms / 1000.0, (allocs - sim.frees) * 1024,
					       allocs, sim.frees});
	assert_int_equal(trend__judge(sim.series.p, sim.series.n, c,
				      hist_ages__cohorts(&sim.ages, sim.now_ms, c), leak_after_s,
				      ret),
			 0);
}

/* How many of the snapshots from one time to another were called a leak; *ret: the last. */
static int sim_run(sim_fn fn, uint32_t from_s, uint32_t to_s, double leak_after_s,
		   struct trend *ret)
{
	int leaks = 0;

	if (!from_s) {
		memset(&sim, 0, sizeof(sim));
		rng = 4711;
	}
	for (uint32_t step = from_s * 10; step < to_s * 10; step++) {
		sim.now_ms = step * 100;
		fn(step);
		if (step % 20)
			continue;
		sim_snapshot(ret, leak_after_s);
		leaks += ret->likely_leak;
	}
	return leaks;
}

static void keeps_all(uint32_t step)
{
	for (int i = 0; i < 5; i++)
		sim_alloc();
}

/* One block of a hundred is lost; the others live for a fifth of a second. */
static void keeps_one_percent(uint32_t step)
{
	for (size_t i = sim.n > 300 ? sim.n - 300 : 0; i < sim.n; i++)
		if (i % 100 && sim.now_ms - sim.born_ms[i] >= 200)
			sim_free(i);
	for (int i = 0; i < 100; i++)
		sim_alloc();
}

/* 3000 places, filled in a line in a minute, then the oldest goes for each that comes. */
static void bounded_fifo(uint32_t step)
{
	for (int i = 0; i < 5; i++) {
		if ((double)sim.n - sim.frees >= 3000)
			sim_free_oldest();
		sim_alloc();
	}
}

/* 3000 places that random keys overwrite. */
static void random_overwrites(uint32_t step)
{
	static size_t at[3000];

	if (!sim.n)
		memset(at, 0, sizeof(at));
	for (int i = 0; i < 5; i++) {
		size_t key = (size_t)(uniform() * 3000);

		if (at[key])
			sim_free(at[key] - 1);
		sim_alloc();
		at[key] = sim.n;
	}
}

/* Requests live for ten seconds, and more come every second. */
static void rising_load(uint32_t step)
{
	while (sim.oldest < sim.n && sim.now_ms - sim.born_ms[sim.oldest] >= 10000)
		sim_free(sim.oldest++);
	for (uint32_t i = 0; i < 2 + step / 100; i++)
		sim_alloc();
}

/* Sessions of ten seconds, of which each fiftieth is forgotten. */
static void sessions_and_leak(uint32_t step)
{
	while (sim.oldest < sim.n && sim.now_ms - sim.born_ms[sim.oldest] >= 10000) {
		if (sim.oldest % 50)
			sim_free(sim.oldest);
		sim.oldest++;
	}
	for (int i = 0; i < 20; i++)
		sim_alloc();
}

static void ages_decide(void **state)
{
	struct trend t;
	char text[256];

	assert_true(sim_run(keeps_all, 0, 300, 0, &t) >= 130);
	assert_true(t.likely_leak && t.survival == 1 && t.held > 0.95 && !t.survival_is_bound);

	assert_true(sim_run(keeps_one_percent, 0, 300, 0, &t) >= 120);
	assert_true(t.likely_leak && t.survival < 0.02 && t.held > 0.9);
	assert_non_null(
		strstr(trend__verdict(text, sizeof(text), &t, NULL), "survive and pile up"));

	sim_run(sessions_and_leak, 0, 600, 0, &t);
	assert_true(t.likely_leak && t.survival < 0.1);

	/* half a minute may pass before the first are gone whose stay would show */
	sim_run(rising_load, 0, 40, 0, &t);
	assert_int_equal(sim_run(rising_load, 40, 600, 0, &t), 0);
	assert_true(t.kind == TREND_LINEAR && t.turnover && t.survival < 0.01);
	assert_non_null(strstr(trend__verdict(text, sizeof(text), &t, NULL),
			       "growing, but blocks are freed: "));
}

static void caches_are_no_leaks(void **state)
{
	struct trend t;
	char text[256];

	/* while it fills, with only the time against it */
	assert_int_equal(sim_run(bounded_fifo, 0, 58, TREND_LEAK_AFTER_S, &t), 0);
	assert_true(t.early);
	assert_string_equal(trend__short(&t), "leak?");
	/* full after a minute: three more snapshots, and it stands still; then its old blocks go */
	sim_run(bounded_fifo, 58, 66, 0, &t);
	assert_int_equal(sim_run(bounded_fifo, 66, 70, 0, &t), 0);
	assert_non_null(strstr(trend__verdict(text, sizeof(text), &t, NULL),
			       "nothing in the last 6 seconds"));
	assert_int_equal(sim_run(bounded_fifo, 70, 76, 0, &t), 0);
	assert_string_equal(trend__verdict(text, sizeof(text), &t, NULL),
			    "saturating: filled to 2.93MB, growth has stopped, old blocks are "
			    "freed");
	assert_int_equal(sim_run(bounded_fifo, 76, 600, 0, &t), 0);
	assert_true(t.kind == TREND_SATURATING || t.kind == TREND_STARTUP);

	/* one that fills for ten minutes is called a leak once; not when it is full */
	sim_run(random_overwrites, 0, 60, 0, &t);
	assert_int_equal(sim_run(random_overwrites, 60, 600, 0, &t), 0);
	assert_true(t.kind == TREND_SATURATING || t.kind == TREND_STARTUP);
	assert_null(strstr(trend__verdict(text, sizeof(text), &t, NULL), "leak"));
}

static void too_early(void **state)
{
	struct trend_point p[60];
	const struct trend_cohort keep[] = {{0, 150, 20}, {30, 150, 147}, {60, 290, 285}};
	struct trend t;
	char text[256];

	for (int i = 0; i < 60; i++)
		p[i] = (struct trend_point){2.0 * i, i * 109000.0, 10.0 * i, 0};
	trend__classify(p, 60, &t);
	assert_true(t.likely_leak && t.survival == 1);
	trend__judge(p, 60, keep, 3, TREND_LEAK_AFTER_S, &t);
	assert_true(t.likely_leak && fabs(t.survival - 432.0 / 440) < 1e-9 &&
		    t.survival_age_s == 30);
	assert_string_equal(
		trend__verdict(text, sizeof(text), &t, "main.c:42 store_session"),
		"likely leak: 3.12MB/min, r² 1.00, 98 % of blocks older than 30 seconds "
		"survive — main.c:42 store_session");
	trend__classify(p, 20, &t);
	assert_true(t.early && !t.likely_leak && t.steady_s == 38);
	assert_string_equal(trend__verdict(text, sizeof(text), &t, NULL),
			    "growing steadily for 38 seconds: 3.12MB/min, r² 1.00, 100 % of "
			    "blocks older than 18 seconds survive; too early to tell a leak from "
			    "a cache that fills");
	for (int i = 0; i < 60; i++)
		p[i].frees = 0.1 * i;
	trend__classify(p, 60, &t);
	assert_true(t.survival_is_bound && t.survival > 0.98 && t.survival < 1);
}

static void forecasts(void **state)
{
	struct trend_point p[MAX];
	struct trend t;

	trend__classify(p, make(p, 100, linear, 0, 1), &t);
	assert_true(fabs(trend__forecast(&t, 198) / (1.9 * 64 * MIB) - 1) < 0.01);
	assert_true(fabs(trend__reaches(&t, 1.9 * 64 * MIB) - 198) < 3);
	assert_true(trend__reaches(&t, 1) == 0);
	trend__classify(p, make(p, 100, slow_cache, 0, 1), &t);
	assert_true(fabs(trend__forecast(&t, 1e6) / (64 * MIB) - 1) < 0.1);
	assert_true(isinf(trend__reaches(&t, 1e12)));
}

static void odd_input(void **state)
{
	struct trend_point p[MAX];
	struct trend t;
	char text[32];

	assert_int_equal(trend__classify(NULL, 0, &t), 0);
	assert_int_equal(t.kind, TREND_TOO_EARLY);
	assert_int_equal(trend__classify(p, make(p, 5, linear, 0, 1), &t), 0);
	assert_int_equal(t.kind, TREND_TOO_EARLY);
	for (int i = 0; i < 20; i++)
		p[i] = (struct trend_point){5, i, -1, -1}; /* time stands still */
	assert_int_equal(trend__classify(p, 20, &t), 0);
	assert_int_equal(t.kind, TREND_TOO_EARLY);
	for (int i = 0; i < 20; i++)
		p[i] = (struct trend_point){i, 0, 0, 0};
	assert_int_equal(trend__classify(p, 20, &t), 0);
	assert_int_equal(t.kind, TREND_FLAT);
	for (int i = 0; i < 20; i++) /* freed more than was seen allocated */
		p[i] = (struct trend_point){i, -i * 1000.0, 0, i};
	assert_int_equal(trend__classify(p, 20, &t), 0);
	assert_false(t.likely_leak);
	p[3].t_s = 0;
	assert_int_equal(trend__classify(p, 20, &t), -EINVAL);
	p[3].t_s = 3;
	p[4].bytes = NAN;
	assert_int_equal(trend__classify(p, 20, &t), -EINVAL);
	trend__verdict(text, sizeof(text), &t, "a very long place indeed");
	assert_true(strlen(text) < sizeof(text));
	for (int i = 0; i < MAX; i++) /* pure noise, many turns */
		p[i] = (struct trend_point){i, uniform() * 1e6, -1, -1};
	assert_int_equal(trend__classify(p, MAX, &t), 0);
	assert_int_equal(t.kind, TREND_CHURN);
}

static void series_is_bounded(void **state)
{
	struct trend_series s = {0};

	for (int i = 0; i < 100000; i++) {
		trend_series__add(&s, (struct trend_point){i, i * 2.0, 0, 0});
		assert_true(s.n <= TREND_SERIES_MAX && s.p[s.n - 1].t_s == i && s.p[0].t_s == 0);
	}
	assert_true(s.n >= TREND_SERIES_MAX / 2 - 1);
	for (uint32_t i = 1; i < s.n; i++)
		assert_true(s.p[i].t_s > s.p[i - 1].t_s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(leaks),
					   cmocka_unit_test(no_leaks),
					   cmocka_unit_test(half_full_cache),
					   cmocka_unit_test(leak_behind_startup),
					   cmocka_unit_test(rare_leak),
					   cmocka_unit_test(random_cache),
					   cmocka_unit_test(slope_is_robust),
					   cmocka_unit_test(ages_decide),
					   cmocka_unit_test(caches_are_no_leaks),
					   cmocka_unit_test(too_early),
					   cmocka_unit_test(forecasts),
					   cmocka_unit_test(odd_input),
					   cmocka_unit_test(series_is_bounded)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
