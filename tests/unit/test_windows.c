/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Windows in time: how long pauses are, what a sample stands for, what is taken for the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "model/heap.h"
#include "model/reuse.h"
#include "run/windows.h"

static void pauses_keep_the_budget(void **state)
{
	/* 100 ms of CPU a window: at 1 % a window every 10 s */
	assert_int_equal(windows__pause(100e6, 0.01), 9800000000ULL);
	/* within what is allowed all the time */
	assert_int_equal(windows__pause(1e6, 0.01), 0);
	/* never so close that nothing is gained, never so long that nothing is seen */
	assert_int_equal(windows__pause(2.5e6, 0.01), 100000000ULL);
	assert_int_equal(windows__pause(1e12, 0.001), 600000000000ULL);
}

static void scales_are_few_and_near(void **state)
{
	double last = 0;
	int n = 0;

	for (double t = 200e6; t < 600e9; t *= 1.003) {
		double s = windows__scale(t);

		assert_true(fabs(s * 200e6 / t - 1) < 0.012);
		n += s != last;
		last = s;
	}
	assert_true(n < 500);
	assert_true(windows__scale(1) == 1);
}

/* Programs: what is allocated from their begin to a moment, s. */
static double steady(double t)
{
	return t;
}

static double growing(double t)
{
	return t * t;
}

static double bursts(double t, double period, double part)
{
	double in = fmod(t, period);

	return floor(t / period) * part + fmin(in, part);
}

static double in_step(double t) /* with windows, if anything was */
{
	return bursts(t, 0.2, 0.05);
}

static double each_second(double t)
{
	return bursts(t, 1, 0.1);
}

static double seldom(double t)
{
	return bursts(t, 7, 0.7);
}

/* A run of a minute or so, by its windows: the estimate over the truth. */
static double estimate(double (*allocated)(double), double phase, uint64_t seed)
{
	const uint64_t whole = 60000000000ULL;
	struct windows w = {.seed = seed};
	uint64_t now = 0;
	double sum = 0;

	while (now < whole) {
		double scale, from;

		windows__plan(&w, 1500000000, now);
		/* the run's end is a window, too; and what is asked for takes a while */
		now = w.next_ns < whole ? w.next_ns : whole;
		now += 10000000 + w.seed % 50000000;
		from = allocated(phase + now / 1e9);
		scale = windows__open(&w, now);
		now = w.next_ns;
		sum += scale * (allocated(phase + now / 1e9) - from);
		now += w.seed % 60000000;
	}
	return sum / (allocated(phase + now / 1e9) - allocated(phase));
}

/* The mean of many runs over the phases at which a program can be met, and its standard error. */
static double mean_estimate(double (*program)(double), double *error)
{
	enum { RUNS = 4000 };
	double sum = 0, squares = 0, mean;
	uint64_t seed = 1;

	for (int i = 0; i < RUNS; i++) {
		double phase, e;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		phase = 7 * (double)(seed >> 11) / 9007199254740992.0;
		e = estimate(program, phase, seed);
		sum += e;
		squares += e * e;
	}
	mean = sum / RUNS;
	*error = sqrt((squares / RUNS - mean * mean) / RUNS);
	return mean;
}

static void estimates_are_right_on_average(void **state)
{
	double (*const programs[])(double) = {steady, in_step, each_second, seldom};
	double mean, error;

	for (size_t p = 0; p < sizeof(programs) / sizeof(programs[0]); p++) {
		mean = mean_estimate(programs[p], &error);
		assert_true(error < 0.01);
		/* a step of the scale, and the time that the last window takes to close */
		assert_true(fabs(mean - 1) < 5 * error + 0.002);
	}
	/* A window stands for the pause before it: what grows all the time is told too large by its
	 * growth in half a pause, here of 1.5 s and in a minute. */
	mean = mean_estimate(growing, &error);
	assert_true(mean > 1.005 && mean < 1.035);
}

static void alloc(struct heap *h, uint32_t target, uint64_t addr, uint64_t size)
{
	struct mw_ev_alloc ev = {
		.hdr = {.type = MW_EV_ALLOC, .target = target}, .addr = addr, .size = size};

	heap__alloc(h, &ev);
}

static void dealloc(struct heap *h, uint32_t target, uint64_t addr)
{
	struct mw_ev_free ev = {.hdr = {.type = MW_EV_FREE, .target = target}, .addr = addr};

	heap__dealloc(h, &ev);
}

/* Only of targets that are seen in windows, and each by its own. */
static void samples_stand_for_their_windows(void **state)
{
	struct heap_opts opts = {.sample_bytes = 1};
	struct heap_target *t;
	struct heap *h;

	assert_int_equal(heap__new(&opts, &h), 0);
	t = h->targets;
	assert_int_equal(heap__set_windowed(h, 1, true), 0);
	heap__set_scale(h, 4);
	alloc(h, 0, 0x1000, 100);
	alloc(h, 1, 0x1000, 100);
	heap__set_scale(h, 2.5);
	alloc(h, 1, 0x2000, 100);
	assert_true(t[0].alloc_bytes == 100 && t[1].alloc_bytes == 650);
	dealloc(h, 1, 0x1000);
	assert_true(t[1].free_bytes == 400);
	/* frees that were missed are no loss; what a walk does not find is gone */
	dealloc(h, 1, 0x9000);
	alloc(h, 1, 0x2000, 200);
	assert_true(t[1].unknown_frees == 0 && t[1].implied_frees == 0);
	assert_true(t[1].free_bytes == 650 && t[1].alloc_bytes == 1150);
	assert_true(heap__bury(h, 1, 0x2000));
	assert_false(heap__bury(h, 1, 0x2000));
	assert_true(t[1].free_bytes == t[1].alloc_bytes);
	/* and always again */
	assert_int_equal(heap__set_windowed(h, 1, false), 0);
	alloc(h, 1, 0x3000, 10);
	assert_true(t[1].alloc_bytes == 1160);
	/* another rate keeps the scale */
	heap__set_rate(h, 64, 0);
	assert_int_equal(heap__set_windowed(h, 1, true), 0);
	alloc(h, 1, 0x4000, 64);
	assert_true(fabs(t[1].alloc_bytes - 1160 - 64 * 2.5 * heap__weight(64, 64)) < 1e-6);
	heap__free(h);
}

/* A sample counts at the rate at which it was taken, though it is told after the rate changed. */
static void samples_count_at_the_rate_they_were_taken_at(void **state)
{
	struct heap_opts opts = {.sample_bytes = 4096};
	struct mw_ev_alloc ev = {
		.hdr = {.type = MW_EV_ALLOC, .target = 1}, .addr = 0x1000, .size = 64};
	struct heap_target *t;
	struct heap *h;

	assert_int_equal(heap__new(&opts, &h), 0);
	t = &h->targets[1];
	heap__set_rate(h, 524288, 1000);
	ev.hdr.time_ns = 999;
	heap__alloc(h, &ev);
	assert_true(fabs(t->alloc_bytes - 64 * heap__weight(64, 4096)) < 1e-6);
	ev.hdr.time_ns = 1000;
	ev.addr = 0x2000;
	heap__alloc(h, &ev);
	assert_true(fabs(t->alloc_bytes - 64 * heap__weight(64, 4096) -
			 64 * heap__weight(64, 524288)) < 1e-6);
	heap__free(h);
}

/* The same of one target that is sampled less than the others, in windows and at another rate too.
 */
static void a_target_may_be_sampled_less(void **state)
{
	struct heap_opts opts = {.sample_bytes = 4096};
	struct mw_ev_alloc ev = {.hdr = {.type = MW_EV_ALLOC, .target = 1, .time_ns = 999},
				 .size = 64};
	static const struct {
		uint64_t time_ns;
		double rate, scale;
	} taken[] = {{999, 4096, 1},  {1000, 16384, 1},	 {1999, 16384, 1},
		     {2000, 4096, 1}, {3000, 131072, 1}, {4000, 131072, 2}};
	double expected = 0;
	struct heap *h;

	assert_int_equal(heap__new(&opts, &h), 0);
	heap__thin(h, 1, 2, 1000);
	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
		if (i == 2)
			heap__thin(h, 1, 0, 2000);
		if (i == 4) {
			heap__set_rate(h, 32768, 2500);
			heap__thin(h, 1, 2, 2500);
		}
		if (i == 5) {
			heap__set_scale(h, 2);
			assert_int_equal(heap__set_windowed(h, 1, true), 0);
		}
		ev.addr = 0x1000 * (i + 1);
		ev.hdr.time_ns = taken[i].time_ns;
		heap__alloc(h, &ev);
		expected += 64 * taken[i].scale * heap__weight(64, (uint64_t)taken[i].rate);
		assert_true(fabs(h->targets[1].alloc_bytes - expected) < 1e-6);
	}
	ev.hdr.target = 2; /* nobody else is */
	ev.hdr.time_ns = 5000;
	heap__alloc(h, &ev);
	assert_true(fabs(h->targets[2].alloc_bytes - 64 * heap__weight(64, 32768)) < 1e-6);
	heap__drop_target(h, 1);
	assert_int_equal(h->targets[1].thin, 0);
	heap__free(h);
}

static void blocks_are_known_by_their_beginning(void **state)
{
	uint8_t a[REUSE_BYTES], b[REUSE_BYTES];
	struct reuse r;

	for (int i = 0; i < REUSE_BYTES; i++)
		a[i] = b[i] = i * 7;
	b[200]++;
	reuse__init(&r, 100);
	reuse__note(&r, 5, a, sizeof(a));
	reuse__note(&r, 6, a, 13);
	reuse__note(&r, 7, a, 0);
	assert_true(reuse__noted(&r, 5) && reuse__noted(&r, 7) && !reuse__noted(&r, 8));
	assert_true(reuse__is_same(&r, 5, a, sizeof(a)));
	assert_false(reuse__is_same(&r, 5, b, sizeof(b)));
	assert_false(reuse__is_same(&r, 5, a, sizeof(a) - 8));
	assert_true(reuse__is_same(&r, 6, b, 13));
	/* what could not be seen, or is not known, is not the same */
	assert_false(reuse__is_same(&r, 7, a, 0));
	assert_false(reuse__is_same(&r, 8, a, sizeof(a)));
	reuse__forget(&r, 5);
	assert_false(reuse__noted(&r, 5));
	reuse__fini(&r);
}

static void copies_are_known_as_their_originals(void **state)
{
	struct heap_opts opts = {.sample_bytes = 1};
	const uint8_t start[] = "as it was";
	struct heap *h;

	assert_int_equal(heap__new(&opts, &h), 0);
	assert_int_equal(heap__set_windowed(h, 1, true), 0);
	alloc(h, 1, 0x1000, 100);
	reuse__note(h->targets[1].reuse, MW_LIVE_KEY(1, 0x1000), start, sizeof(start));
	assert_int_equal(heap__set_windowed(h, 2, true), 0);
	assert_int_equal(heap__fork(h, 1, 2), 0);
	assert_true(
		reuse__is_same(h->targets[2].reuse, MW_LIVE_KEY(2, 0x1000), start, sizeof(start)));
	/* one that is always seen is none of it */
	assert_int_equal(heap__fork(h, 1, 3), 0);
	assert_true(!h->targets[3].reuse && h->targets[3].alloc_bytes == 100);
	heap__free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses_keep_the_budget),
		cmocka_unit_test(scales_are_few_and_near),
		cmocka_unit_test(estimates_are_right_on_average),
		cmocka_unit_test(copies_are_known_as_their_originals),
		cmocka_unit_test(samples_stand_for_their_windows),
		cmocka_unit_test(samples_count_at_the_rate_they_were_taken_at),
		cmocka_unit_test(a_target_may_be_sampled_less),
		cmocka_unit_test(blocks_are_known_by_their_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
