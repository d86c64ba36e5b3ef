/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * top_n.h - the first N of many in some order: the largest processes, the heaviest stacks. Orders
 * are those of qsort().
 */
#ifndef CORE_TOP_N_H
#define CORE_TOP_N_H

#include <stddef.h>

typedef int (*top_n_order)(const void *a, const void *b);

/* Brings the first `most` of n elements to the front, in order; the others follow in no order.
 * Returns how many are in order: the smaller of n and most. */
size_t top_n__sort(void *base, size_t n, size_t size, size_t most, top_n_order order);

/*
 * Puts *item into a list of n <= max elements that is in order, behind those that equal it; the
 * last falls out of a full one, which is *item itself where it comes after all. Returns how many
 * there are now. Allocates nothing.
 */
size_t top_n__insert(void *list, size_t n, size_t max, size_t size, const void *item,
		     top_n_order order);

#endif
