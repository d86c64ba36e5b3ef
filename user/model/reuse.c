/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/reuse.h"

#include <string.h>

#include "core/util.h"

#define NOT_SEEN 1 /* a print that none has */

void reuse__init(struct reuse *r, size_t max_blocks)
{
	memset(r, 0, sizeof(*r));
	livemap__init(&r->prints, max_blocks);
}

void reuse__fini(struct reuse *r)
{
	livemap__fini(&r->prints);
}

static uint64_t print_of(const uint8_t *start, size_t n)
{
	uint64_t sum = n, word;

	for (size_t i = 0; i < n; i += sizeof(word)) {
		word = 0;
		memcpy(&word, start + i, min_of(sizeof(word), n - i));
		sum = util__mix64(sum ^ word);
	}
	return n ? (sum >> 24) << 1 : NOT_SEEN;
}

void reuse__note(struct reuse *r, uint64_t key, const uint8_t *start, size_t n)
{
	struct livemap_block b = {.key = key, .size = print_of(start, n)}, old;

	livemap__put(&r->prints, &b, &old); /* no room: as one that has changed */
}

bool reuse__noted(const struct reuse *r, uint64_t key)
{
	return livemap__find(&r->prints, key);
}

bool reuse__is_same(const struct reuse *r, uint64_t key, const uint8_t *start, size_t n)
{
	const struct livemap_block *b = livemap__find(&r->prints, key);

	return n && b && b->size == print_of(start, n);
}

void reuse__copy(const struct reuse *from, uint64_t key, struct reuse *to, uint64_t to_key)
{
	const struct livemap_block *of = livemap__find(&from->prints, key);
	struct livemap_block b, old;

	if (!of)
		return;
	b = *of;
	b.key = to_key;
	livemap__put(&to->prints, &b, &old);
}

void reuse__forget(struct reuse *r, uint64_t key)
{
	struct livemap_block old;

	livemap__take(&r->prints, key, &old);
}
