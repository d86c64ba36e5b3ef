/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/sample.h: what is sampled stands for what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "bpf_sim.h"
#include "model/heap.h"

static struct heap *weighed;
static double variance;

static void weigh_event(const void *data, size_t size)
{
	const struct mw_ev_alloc *a = data;
	double w;

	on_event(data, size);
	if (a->hdr.type != MW_EV_ALLOC)
		return;
	heap__alloc(weighed, a);
	w = heap__weight(a->size, alloc_config.sample_bytes << alloc_thin[TARGET]);
	variance += (double)a->size * (double)a->size * (1 - 1 / w) * w * w;
}

/* A target that is sampled less, and more again, has the same bytes in the profile, within five
 * deviations. */
static void what_is_sampled_less_counts_for_more(void **state)
{
	struct heap_opts opts = {.sample_bytes = 1000};
	u64 told[3] = {0}, calls[3] = {0};
	double sum = 0, total = 0;

	variance = 0;
	for (u64 seed = 1; seed <= 40; seed++) {
		u32 octaves = 0;

		start(1000, seed);
		sim.threads = 1;
		sim.no_failures = sim.no_handlers = true;
		native.on_event = weigh_event;
		assert_int_equal(heap__new(&opts, &weighed), 0);
		for (int n = 0; n < 2000; n++) {
			u64 before = sim.sent_allocs,
			    calls_before = native_count(TARGET, MW_C_ALLOCS);

			if (!rnd(50) && is_idle()) {
				octaves = rnd(3) * 2;
				alloc_thin[TARGET] = octaves;
				heap__thin(weighed, TARGET, octaves, native.clock_ns);
			}
			step(0);
			told[octaves / 2] += sim.sent_allocs - before;
			calls[octaves / 2] += native_count(TARGET, MW_C_ALLOCS) - calls_before;
		}
		finish();
		compare_live();
		sum += weighed->targets[TARGET].alloc_bytes;
		total += native_count(TARGET, MW_C_ALLOC_BYTES);
		heap__free(weighed);
	}
	if (fabs(sum - total) > 5 * sqrt(variance))
		fail_msg("%.0f bytes of %.0f, deviation %.0f", sum, total, sqrt(variance));
	for (int i = 0; i < 2; i++) /* it is sampled less indeed */
		assert_true(told[i + 1] && told[i + 1] * calls[i] < told[i] * calls[i + 1]);
}

/* What is sampled with probability p counts as 1/p: of n blocks, n within five deviations. */
static void weights_undo_the_sampling(void **state)
{
	static const u64 rates[] = {2, 1000, 512 << 10, 1ULL << 33};
	static const double share[] = {0.001, 0.03, 0.5, 0.999, 1, 1.001, 2.7, 9, 25};

	native__reset();
	for (size_t r = 0; r < ARRAY_SIZE(rates); r++) {
		for (size_t i = 0; i < ARRAY_SIZE(share); i++) {
			u64 size = rates[r] * share[i], n = 200000, hits = 0;
			double p, deviation;

			if (!size)
				continue;
			p = 1 / heap__weight(size, rates[r]);
			for (u64 k = 0; k < n; k++)
				hits += sample_decide(size, rates[r]);
			deviation = sqrt(n * p * (1 - p)) + 1;
			if (fabs(hits - n * p) > 5 * deviation)
				fail_msg("%lu bytes at %lu: %lu of %lu, expected %.1f",
					 (unsigned long)size, (unsigned long)rates[r],
					 (unsigned long)hits, (unsigned long)n, n * p);
		}
	}
	assert_int_equal(sample_decide(0, 1), 1);
	assert_int_equal(sample_decide(7, 1), 1);
}

/* The probability itself, against the C library: the table and the series of sample.h. */
static void probabilities_are_those_of_exp(void **state)
{
	for (double x = 0.0001; x < 22; x *= 1.01) {
		u64 rate = 1 << 20, size = x * rate, whole, fraction;
		double p;

		sample_quotient(size, rate, &whole, &fraction);
		p = 1 - sample_exp_neg(whole, fraction) / 4294967296.0;
		assert_true(fabs(p - -expm1(-(double)size / rate)) < 1e-6);
		if (!whole) {
			p = sample_ratio(fraction) / 4294967296.0 * fraction / 4294967296.0;
			assert_true(fabs(p + expm1(-(double)size / rate)) < 1e-6);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sampled_less_counts_for_more),
		cmocka_unit_test(weights_undo_the_sampling),
		cmocka_unit_test(probabilities_are_those_of_exp),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	native__reset();
	return failed;
}
