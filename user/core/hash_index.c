/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/hash_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/keyhash.h"
#include "core/util.h"

#define MIN_SLOTS 1024

void hash_index__fini(struct hash_index *x)
{
	free(x->slot);
	free(x->hash);
	memset(x, 0, sizeof(*x));
}

static void put(struct hash_index *x, size_t element)
{
	size_t i = keyhash__word(x->hash[element]) & x->mask;

	while (x->slot[i])
		i = (i + 1) & x->mask;
	x->slot[i] = element + 1;
}

int hash_index__reserve(struct hash_index *x)
{
	size_t slots = x->slot ? (x->mask + 1) * 2 : MIN_SLOTS;
	uint32_t *slot;
	int err = x->n < UINT32_MAX ? array_reserve(x->hash, x->hash_cap, x->n + 1) : -ENOMEM;

	if (err || (x->slot && (x->n + 1) * 2 <= x->mask + 1))
		return err;
	slot = calloc(slots, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	free(x->slot);
	x->slot = slot;
	x->mask = slots - 1;
	for (size_t i = 0; i < x->n; i++)
		put(x, i);
	return 0;
}

void hash_index__add(struct hash_index *x, uint64_t hash)
{
	x->hash[x->n] = hash;
	put(x, x->n++);
}

void hash_index__clear(struct hash_index *x)
{
	if (x->slot)
		memset(x->slot, 0, (x->mask + 1) * sizeof(*x->slot));
	x->n = 0;
}

bool hash_index__next(const struct hash_index *x, uint64_t hash, size_t *at, uint32_t *ret)
{
	if (!x->slot)
		return false;
	*at = *at == HASH_INDEX_START ? keyhash__word(hash) & x->mask : (*at + 1) & x->mask;
	for (; x->slot[*at]; *at = (*at + 1) & x->mask) {
		*ret = x->slot[*at] - 1;
		if (x->hash[*ret] == hash)
			return true;
	}
	return false;
}

size_t hash_index__bytes(const struct hash_index *x)
{
	return (x->slot ? x->mask + 1 : 0) * sizeof(*x->slot) + x->hash_cap * sizeof(*x->hash);
}
