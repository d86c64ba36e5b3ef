/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "model/heap.h"
#include "model/hist.h"

#define MS 1000000ULL

static void buckets(void **state)
{
	assert_int_equal(hist__size_bucket(0), 0);
	assert_int_equal(hist__size_bucket(1), 1);
	assert_int_equal(hist__size_bucket(2), 2);
	assert_int_equal(hist__size_bucket(UINT64_MAX), HIST_SIZES - 1);
	for (int i = 0; i < HIST_SIZES; i++) {
		assert_int_equal(hist__size_bucket(hist__size_from(i)), i);
		if (i < HIST_SIZES - 1) {
			assert_int_equal(hist__size_bucket(hist__size_below(i) - 1), i);
			assert_int_equal(hist__size_below(i), hist__size_from(i + 1));
		}
	}
	for (int i = 0; i < HIST_LIVES; i++) {
		assert_int_equal(hist__life_bucket(hist__life_from_us(i)), i);
		if (i < HIST_LIVES - 1)
			assert_int_equal(hist__life_bucket(hist__life_below_us(i) - 1), i);
	}
	assert_true(hist__is_temporary(hist__life_bucket(HIST_TEMPORARY_US - 1)));
	assert_false(hist__is_temporary(hist__life_bucket(HIST_TEMPORARY_US)));
	assert_false(hist__is_temporary(HIST_LIVES - 1));
}

/* Every order of arrival gives the same counts; memory is what the buckets in use need. */
static void compact(void **state)
{
	struct hist up = {0}, down = {0}, sum = {0};

	for (int i = 0; i < HIST_SIZES; i++) {
		assert_int_equal(hist__add_size(&up, hist__size_from(i), i + 1), 0);
		assert_int_equal(
			hist__add_size(&down, hist__size_from(HIST_SIZES - 1 - i), HIST_SIZES - i),
			0);
	}
	assert_int_equal(hist__add_life(&up, 10, 5, 2), 0);
	assert_int_equal(hist__add_life(&up, 10, 9999, 1), 0);
	assert_int_equal(hist__add_life(&up, 10, 10000, 4), 0);
	for (int i = 0; i < HIST_SIZES; i++) {
		assert_float_equal(hist__size_objects(&up, i), i + 1, 0);
		assert_float_equal(hist__size_objects(&down, i), i + 1, 0);
	}
	assert_float_equal(hist__temporary_objects(&up), 3, 0);
	assert_float_equal(up.temporary_bytes, 30, 0);
	assert_int_equal(hist__memory(&down), HIST_SIZES * 8);
	assert_int_equal(hist__memory(&up), (HIST_SIZES + 3) * 8);
	assert_int_equal(hist__merge(&sum, &up), 0);
	assert_int_equal(hist__merge(&sum, &down), 0);
	assert_float_equal(hist__size_objects(&sum, 7), 16, 0);
	assert_float_equal(hist__temporary_objects(&sum), 3, 0);
	hist__clear(&up);
	hist__clear(&down);
	hist__clear(&sum);
	assert_int_equal(hist__memory(&up), 0);
}

static struct heap *heap_new(uint64_t sample_bytes)
{
	struct heap_opts o = {.sample_bytes = sample_bytes, .start_ns = 5000 * MS};
	uint32_t frames[1] = {1}, site;
	struct heap *h;

	assert_int_equal(heap__new(&o, &h), 0);
	assert_int_equal(heap__stack(h, 0, 77, MW_STACK_OK, frames, 1, &site), 0);
	return h;
}

static void do_alloc(struct heap *h, uint64_t addr, uint64_t size, uint64_t ns)
{
	struct mw_ev_alloc ev = {.addr = addr, .size = size, .stack = 77};

	ev.hdr.time_ns = 5000 * MS + ns;
	heap__alloc(h, &ev);
}

static void do_free(struct heap *h, uint64_t addr, uint64_t ns, unsigned flags)
{
	struct mw_ev_free ev = {.addr = addr, .flags = flags};

	ev.hdr.time_ns = 5000 * MS + ns;
	heap__dealloc(h, &ev);
}

/* Lifetimes far from the edges of their buckets, begun at every part of a millisecond. */
static void lifetimes(void **state)
{
	static const uint64_t life_ns[HIST_LIVES] = {
		5000,	  50000,     500000,	 5 * MS,      50 * MS,
		500 * MS, 5000 * MS, 30000 * MS, 300000 * MS, 7200000 * MS};
	struct heap *h = heap_new(1);
	const struct hist *site;

	for (int part = 0; part < 1000; part++) {
		for (int i = 0; i < HIST_LIVES; i++) {
			uint64_t at = 3 * MS + part * 1000;

			do_alloc(h, 0x1000, 100, at);
			do_free(h, 0x1000, at + life_ns[i], 0);
		}
	}
	site = &heap__find_site(h, 0, 77)->hist;
	for (int i = 0; i < HIST_LIVES; i++) {
		assert_float_equal(hist__life_objects(site, i), 1000, 0);
		assert_float_equal(h->targets[0].hist->life_objects[i], 1000, 0);
		assert_float_equal(h->targets[0].hist->life_bytes[i], 100000, 0);
	}
	assert_float_equal(h->targets[0].hist->size_objects[hist__size_bucket(100)],
			   1000 * HIST_LIVES, 0);
	assert_float_equal(site->temporary_bytes, 4 * 100000, 0);
	heap__free(h);
}

static void swapped_and_wrapped(void **state)
{
	struct heap *h = heap_new(1);
	uint64_t wrap = (uint64_t)UINT32_MAX * MS;

	do_alloc(h, 0x1000, 8, 2 * MS + 300);
	do_free(h, 0x1000, 2 * MS, 0); /* the free's time is before the allocation's */
	do_alloc(h, 0x2000, 8, 2 * MS);
	do_free(h, 0x2000, 1 * MS + 999999, 0);
	do_alloc(h, 0x3000, 8, wrap - 100 * MS);
	do_free(h, 0x3000, wrap + 200 * MS, 0);
	assert_float_equal(h->targets[0].hist->life_objects[0], 2, 0);
	assert_float_equal(h->targets[0].hist->life_objects[hist__life_bucket(300000)], 1, 0);
	heap__free(h);
}

/* A realloc that fails has freed nothing; exec and exit free nothing; a lost free has no time. */
static void no_lifetime(void **state)
{
	struct mw_ev_free back = {.addr = 0x1000};
	struct heap *h = heap_new(1);
	const struct hist_total *t;
	double objects, bytes;

	do_alloc(h, 0x1000, 64, 0);
	do_free(h, 0x1000, 1000, MW_FREE_REALLOC);
	t = h->targets[0].hist;
	hist_total__temporary(t, &objects, &bytes);
	assert_float_equal(objects, 1, 0);
	heap__undealloc(h, &back);
	hist_total__temporary(t, &objects, &bytes);
	assert_float_equal(objects, 0, 0);
	assert_float_equal(bytes, 0, 0);
	assert_float_equal(hist__temporary_objects(&heap__find_site(h, 0, 77)->hist), 0, 0);
	do_alloc(h, 0x1000, 64, 2000); /* where one lives: its free was lost */
	heap__clear_target(h, 0);
	for (int i = 0; i < HIST_LIVES; i++)
		assert_float_equal(t->life_objects[i], 0, 0);
	assert_float_equal(t->size_objects[hist__size_bucket(64)], 2, 0);
	heap__free(h);
}

static void weighted(void **state)
{
	struct heap *h = heap_new(1 << 20);
	double w = heap__weight(4096, 1 << 20);

	do_alloc(h, 0x1000, 4096, 0);
	do_free(h, 0x1000, 20000, 0);
	assert_float_equal(hist__temporary_objects(&heap__find_site(h, 0, 77)->hist), w, 1e-9);
	assert_float_equal(h->targets[0].hist->size_bytes[hist__size_bucket(4096)], w * 4096, 1e-6);
	heap__free(h);
}

/* Ten blocks a second for an hour, of which the first of each ten is freed a second later. */
static void ages(void **state)
{
	struct trend_cohort c[HIST_AGES];
	struct hist_ages a = {0};
	double allocated = 0, alive = 0;
	size_t n;

	for (uint32_t s = 0; s < 3600; s++) {
		for (uint32_t i = 0; i < 10; i++)
			hist_ages__alloc(&a, s * 1000 + i * 100, 1);
		if (s)
			hist_ages__free(&a, (s - 1) * 1000, 1);
	}
	assert_true(3600000 >> a.shift < HIST_AGES && 3600000 >> a.shift >= HIST_AGES / 2);
	n = hist_ages__cohorts(&a, 3600000, c);
	assert_in_range(n, HIST_AGES / 2 + 1, HIST_AGES);
	for (size_t i = 0; i < n; i++) {
		allocated += c[i].allocated;
		alive += c[i].alive;
		if (i) {
			assert_true(c[i].age_s > c[i - 1].age_s);
			assert_float_equal(c[i].alive / c[i].allocated, 0.9, 0.001);
		}
	}
	assert_float_equal(allocated, 36000, 0);
	assert_float_equal(alive, 36000 - 3599, 0);
}

/* The heap's own bookkeeping: frees, a realloc that fails, the end of the process. */
static void ages_of_a_site(void **state)
{
	struct mw_ev_free back = {.addr = 0x1000};
	struct trend_cohort c[HIST_AGES];
	struct heap *h = heap_new(1);
	struct heap_site *s = heap__find_site(h, 0, 77);

	assert_null(s->ages);
	do_alloc(h, 0x1000, 64, 0);
	do_alloc(h, 0x2000, 64, 1);
	do_free(h, 0x2000, 5 * MS, 0);
	do_free(h, 0x1000, 6 * MS, MW_FREE_REALLOC);
	heap__undealloc(h, &back);
	assert_int_equal(hist_ages__cohorts(s->ages, heap__time_ms(h, 15000 * MS), c), 1);
	assert_true(c[0].allocated == 2 && c[0].alive == 1);
	assert_float_equal(c[0].age_s, 10, 0.01);
	heap__clear_target(h, 0);
	assert_int_equal(hist_ages__cohorts(s->ages, heap__time_ms(h, 15000 * MS), c), 1);
	assert_true(c[0].allocated == 2 && c[0].alive == 0);
	heap__free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets),     cmocka_unit_test(compact),
		cmocka_unit_test(lifetimes),   cmocka_unit_test(swapped_and_wrapped),
		cmocka_unit_test(no_lifetime), cmocka_unit_test(weighted),
		cmocka_unit_test(ages),	       cmocka_unit_test(ages_of_a_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
