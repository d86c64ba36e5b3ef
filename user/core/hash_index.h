/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hash_index.h - finds the elements of an array by their hash: the array is its user's, elements
 * are numbered in the order in which they were added and stay. Open addressing, linear probing, at
 * most half full; 16 to 24 bytes an element. A zeroed one is empty.
 */
#ifndef CORE_HASH_INDEX_H
#define CORE_HASH_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_index {
	uint32_t *slot; /* element + 1; 0: free */
	uint64_t *hash; /* by element */
	size_t n, hash_cap, mask;
};

#define HASH_INDEX_START SIZE_MAX

void hash_index__fini(struct hash_index *x);

/* Makes room for one element more. 0 or -ENOMEM. */
int hash_index__reserve(struct hash_index *x);
/* Adds element number x->n; there must be room. Hashes may meet in some bits, but not
 * in all: keyhash.h. */
void hash_index__add(struct hash_index *x, uint64_t hash);

/* No elements; keeps its memory for as many as it had, so that they can be added without reserve.
 */
void hash_index__clear(struct hash_index *x);

/*
 * The next element with this hash, which the caller compares; *at is HASH_INDEX_START at first.
 * false: there is none (any more).
 */
bool hash_index__next(const struct hash_index *x, uint64_t hash, size_t *at, uint32_t *ret);

/* Memory in use, bytes. */
size_t hash_index__bytes(const struct hash_index *x);

#endif
