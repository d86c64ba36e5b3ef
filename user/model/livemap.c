/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/livemap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/keyhash.h"
#include "core/util.h"

#define MIN_SLOTS 16u

_Static_assert(sizeof(struct livemap_block) == 24, "the memory budget counts on it");

void livemap__init(struct livemap *m, size_t max)
{
	memset(m, 0, sizeof(*m));
	m->max = max;
}

void livemap__fini(struct livemap *m)
{
	for (size_t i = 0; i < LIVEMAP_SHARDS; i++)
		free(m->shard[i].slot);
	memset(m, 0, sizeof(*m));
}

static struct livemap_shard *shard_of(const struct livemap *m, uint64_t hash)
{
	return (struct livemap_shard *)&m->shard[hash >> 58];
}

/* The slot that holds key, or the empty one where it belongs. */
static uint32_t slot_of(const struct livemap_shard *s, uint64_t key, uint64_t hash)
{
	uint32_t i = hash & s->mask;

	while (s->slot[i].key && s->slot[i].key != key)
		i = (i + 1) & s->mask;
	return i;
}

static int resize(struct livemap_shard *s, uint32_t slots)
{
	struct livemap_shard bigger = {.n = s->n, .mask = slots - 1};

	bigger.slot = calloc(slots, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (uint32_t i = 0; s->slot && i <= s->mask; i++) {
		const struct livemap_block *b = &s->slot[i];

		if (b->key)
			bigger.slot[slot_of(&bigger, b->key, keyhash__word(b->key))] = *b;
	}
	free(s->slot);
	*s = bigger;
	return 0;
}

int livemap__put(struct livemap *m, const struct livemap_block *b, struct livemap_block *old)
{
	uint64_t hash = keyhash__word(b->key);
	struct livemap_shard *s = shard_of(m, hash);
	uint32_t i;
	int err;

	/* At most 7/8 full. */
	if (!s->slot || s->n + 1 > s->mask - s->mask / 8) {
		err = resize(s, s->slot ? (s->mask + 1) * 2 : MIN_SLOTS);
		if (err)
			return err;
	}
	i = slot_of(s, b->key, hash);
	if (s->slot[i].key) {
		*old = s->slot[i];
		s->slot[i] = *b;
		return 1;
	}
	if (m->n >= m->max)
		return -ENOSPC;
	s->slot[i] = *b;
	s->n++;
	m->n++;
	return 0;
}

const struct livemap_block *livemap__find(const struct livemap *m, uint64_t key)
{
	uint64_t hash = keyhash__word(key);
	const struct livemap_shard *s = shard_of(m, hash);
	uint32_t i;

	if (!s->slot)
		return NULL;
	i = slot_of(s, key, hash);
	return s->slot[i].key ? &s->slot[i] : NULL;
}

/* Closes the gap at i: blocks behind it that probe past it move up. */
static void shift_back(struct livemap_shard *s, uint32_t i)
{
	uint32_t j = i;

	for (;;) {
		uint32_t home;

		j = (j + 1) & s->mask;
		if (!s->slot[j].key)
			break;
		home = keyhash__word(s->slot[j].key) & s->mask;
		/* Does the block's path from home to j lead over i? */
		if (((j - home) & s->mask) >= ((j - i) & s->mask)) {
			s->slot[i] = s->slot[j];
			i = j;
		}
	}
	s->slot[i].key = 0;
}

bool livemap__take(struct livemap *m, uint64_t key, struct livemap_block *ret)
{
	uint64_t hash = keyhash__word(key);
	struct livemap_shard *s = shard_of(m, hash);
	uint32_t i;

	if (!s->slot)
		return false;
	i = slot_of(s, key, hash);
	if (!s->slot[i].key)
		return false;
	*ret = s->slot[i];
	shift_back(s, i);
	s->n--;
	m->n--;
	/* Give memory back after a burst; failing to is no failure. */
	if (s->mask + 1 > 4 * MIN_SLOTS && s->n < s->mask / 8)
		resize(s, (s->mask + 1) / 2);
	return true;
}

void livemap__each(const struct livemap *m, void (*fn)(void *arg, const struct livemap_block *b),
		   void *arg)
{
	for (size_t k = 0; k < LIVEMAP_SHARDS; k++) {
		const struct livemap_shard *s = &m->shard[k];

		for (uint32_t i = 0; s->slot && i <= s->mask; i++) {
			if (s->slot[i].key)
				fn(arg, &s->slot[i]);
		}
	}
}

void livemap__renumber(struct livemap *m, const uint32_t *new_site)
{
	for (size_t k = 0; k < LIVEMAP_SHARDS; k++) {
		struct livemap_shard *s = &m->shard[k];

		for (uint32_t i = 0; s->slot && i <= s->mask; i++) {
			if (s->slot[i].key)
				s->slot[i].site = new_site[s->slot[i].site];
		}
	}
}

size_t livemap__memory(const struct livemap *m)
{
	size_t bytes = 0;

	for (size_t i = 0; i < LIVEMAP_SHARDS; i++)
		bytes += m->shard[i].slot ? (m->shard[i].mask + 1) * sizeof(struct livemap_block)
					  : 0;
	return bytes;
}
