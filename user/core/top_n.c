/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/top_n.h"

#include <stdlib.h>
#include <string.h>

/* An insertion moves up to `most` elements: beyond this, sorting all is cheaper. */
#define INSERT_MOST 256

/* Where *item belongs among n elements in order: behind those that are equal. */
static size_t place_of(const char *list, size_t n, size_t size, const void *item, top_n_order order)
{
	size_t from = 0;

	while (from < n) {
		size_t mid = from + (n - from) / 2;

		if (order(list + mid * size, item) <= 0)
			from = mid + 1;
		else
			n = mid;
	}
	return from;
}

size_t top_n__insert(void *list, size_t n, size_t max, size_t size, const void *item,
		     top_n_order order)
{
	char *p = list;
	size_t at = place_of(p, n, size, item, order), left = n < max ? n + 1 : max;

	if (at == max)
		return n;
	memmove(p + (at + 1) * size, p + at * size, (left - at - 1) * size);
	memcpy(p + at * size, item, size);
	return left;
}

static void swap(char *a, char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = a[i];

		a[i] = b[i];
		b[i] = c;
	}
}

/* Element i, which comes before the last of the list, moves into it; that one takes its place. */
static void swap_in(char *list, size_t most, size_t size, size_t i, top_n_order order)
{
	size_t at = place_of(list, most - 1, size, list + i * size, order);

	swap(list + i * size, list + (most - 1) * size, size);
	for (size_t k = most - 1; k > at; k--)
		swap(list + k * size, list + (k - 1) * size, size);
}

size_t top_n__sort(void *base, size_t n, size_t size, size_t most, top_n_order order)
{
	char *list = base;

	if (n <= most || most > INSERT_MOST) {
		if (n)
			qsort(base, n, size, order);
		return n < most ? n : most;
	}
	if (!most)
		return 0;
	qsort(base, most, size, order);
	for (size_t i = most; i < n; i++) {
		if (order(list + i * size, list + (most - 1) * size) < 0)
			swap_in(list, most, size, i, order);
	}
	return most;
}
