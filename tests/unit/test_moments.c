/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model/moments.h"

#define GRAIN (1ULL << MOMENTS_SHIFT)

static void expect(const struct moments *m, uint64_t time_ns, double inuse, double alloc)
{
	double got_inuse, got_alloc;

	assert_true(moments__at(m, time_ns, &got_inuse, &got_alloc));
	assert_true(got_inuse == inuse && got_alloc == alloc);
}

static void spike(void **state)
{
	static struct moments m;
	double unused;

	assert_false(moments__at(&m, 5 * GRAIN, &unused, &unused));
	moments__note(&m, 10 * GRAIN, 100, 100);
	moments__note(&m, 20 * GRAIN + 1, 900, 900); /* there and gone within a grain */
	moments__note(&m, 20 * GRAIN + 2, 100, 900);
	moments__note(&m, 21 * GRAIN, 50, 950);
	expect(&m, 20 * GRAIN + 5, 900, 900);
	expect(&m, 15 * GRAIN, 100, 100);
	expect(&m, 21 * GRAIN + 7, 100, 950); /* with which the grain began */
	expect(&m, 1000000 * GRAIN, 50, 950); /* nothing has changed since */
	assert_false(moments__at(&m, 9 * GRAIN, &unused, &unused));
}

/* Against the plain list of all changes. */
static void random_series(void **state)
{
	static struct moments m;
	static struct {
		uint64_t t;
		double inuse;
	} e[5000];
	uint64_t t = GRAIN;
	size_t n = sizeof(e) / sizeof(e[0]);

	srand(1);
	for (size_t i = 0; i < n; i++) {
		t += rand() % (3 * GRAIN);
		e[i].t = t;
		e[i].inuse = rand() % 1000;
		moments__note(&m, t, e[i].inuse, (double)i);
	}
	for (int k = 0; k < 20000; k++) {
		uint64_t back = (MOMENTS_SLOTS - 2) * GRAIN;
		uint64_t at = t - (uint64_t)rand() * (uint64_t)rand() % back;
		double most = -1, last = 0, inuse, alloc;

		for (size_t i = 0; i < n && e[i].t >> MOMENTS_SHIFT <= at >> MOMENTS_SHIFT; i++) {
			if (e[i].t >> MOMENTS_SHIFT == at >> MOMENTS_SHIFT && last > most)
				most = last; /* with which the grain began */
			last = e[i].inuse;
			if (e[i].t >> MOMENTS_SHIFT == at >> MOMENTS_SHIFT && last > most)
				most = last;
		}
		assert_true(moments__at(&m, at, &inuse, &alloc));
		assert_true(inuse == (most >= 0 ? most : last));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(spike),
					   cmocka_unit_test(random_series)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
