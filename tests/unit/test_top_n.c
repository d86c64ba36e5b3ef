/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first N of many, against sorting them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/top_n.h"
#include "core/util.h"

#define MOST_N 700

struct item {
	uint32_t value, at;
	char rest[5]; /* an odd size */
};

static int largest_first(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

static int by_value_alone(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return (x->value < y->value) - (x->value > y->value);
}

static void fill(struct item *v, size_t n, uint64_t seed, uint32_t values)
{
	memset(v, 0, n * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		v[i].value = (uint32_t)(util__mix64(seed * 1000 + i) % values);
		v[i].at = (uint32_t)i;
		v[i].rest[4] = (char)i;
	}
}

/* The first `most` are those of the whole order; nothing is lost and nothing doubled. */
static void sorts_as_sorting_all_would(void **state)
{
	static struct item all[MOST_N], v[MOST_N];

	for (uint64_t seed = 0; seed < 200; seed++) {
		size_t n = util__mix64(seed) % MOST_N, most = util__mix64(seed + 7) % (MOST_N / 2);
		bool seen[MOST_N] = {0};

		fill(all, n, seed, seed % 2 ? 20 : 1000000);
		memcpy(v, all, sizeof(v));
		if (n)
			qsort(all, n, sizeof(*all), largest_first);
		assert_int_equal(top_n__sort(v, n, sizeof(*v), most, largest_first),
				 min_of(n, most));
		assert_memory_equal(v, all, min_of(n, most) * sizeof(*v));
		for (size_t i = 0; i < n; i++) {
			assert_false(seen[v[i].at]);
			seen[v[i].at] = true;
		}
	}
	assert_int_equal(top_n__sort(NULL, 0, sizeof(*v), 10, largest_first), 0);
}

static void keeps_the_first_of_a_stream(void **state)
{
	static struct item all[MOST_N], list[50];

	for (uint64_t seed = 0; seed < 100; seed++) {
		size_t max = 1 + seed % 50, n = 0;

		fill(all, MOST_N, seed, seed % 2 ? 20 : 1000000);
		for (size_t i = 0; i < MOST_N; i++)
			n = top_n__insert(list, n, max, sizeof(*list), &all[i], by_value_alone);
		assert_int_equal(n, max);
		/* What is equal stays in the order in which it came. */
		qsort(all, MOST_N, sizeof(*all), largest_first);
		assert_memory_equal(list, all, max * sizeof(*list));
	}
	assert_int_equal(top_n__insert(list, 0, 0, sizeof(*list), &all[0], largest_first), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_as_sorting_all_would),
		cmocka_unit_test(keeps_the_first_of_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
