/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/strpool.h"

#include "core/util.h"

#include <string.h>

#define CHUNK_BYTES (64u << 10)

struct pool_chunk {
	struct pool_chunk *next;
	size_t used, cap;
	char text[];
};

struct strpool {
	struct pool_chunk *chunks;
	const char **slots; /* open addressing, NULL: empty */
	size_t nslots, n;
	size_t bytes, max_bytes, refused;
};

int strpool__new(size_t max_bytes, struct strpool **ret)
{
	struct strpool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->max_bytes = max_bytes;
	*ret = p;
	return 0;
}

void strpool__free(struct strpool *p)
{
	if (!p)
		return;
	while (p->chunks) {
		struct pool_chunk *next = p->chunks->next;

		free(p->chunks);
		p->chunks = next;
	}
	free(p->slots);
	free(p);
}

static size_t slot_of(const struct strpool *p, const char *text, size_t len)
{
	size_t i = util__hash(text, len) & (p->nslots - 1);

	while (p->slots[i] && strcmp(p->slots[i], text))
		i = (i + 1) & (p->nslots - 1);
	return i;
}

static int grow(struct strpool *p)
{
	size_t n = p->nslots ? p->nslots * 2 : 1024, old_n = p->nslots;
	const char **old = p->slots, **slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	p->slots = slots;
	p->nslots = n;
	for (size_t i = 0; i < old_n; i++) {
		if (old[i])
			slots[slot_of(p, old[i], strlen(old[i]))] = old[i];
	}
	free(old);
	return 0;
}

static char *store(struct strpool *p, const char *text, size_t size)
{
	struct pool_chunk *c = p->chunks;

	if (!c || c->cap - c->used < size) {
		size_t cap = max_of(size, (size_t)CHUNK_BYTES);

		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		c->next = p->chunks;
		c->used = 0;
		c->cap = cap;
		p->chunks = c;
	}
	c->used += size;
	return memcpy(c->text + c->used - size, text, size);
}

const char *strpool__add(struct strpool *p, const char *text)
{
	size_t len, i;

	if (!text)
		return NULL;
	if ((p->n + 1) * 3 > p->nslots * 2 && grow(p))
		return NULL;
	len = strlen(text);
	i = slot_of(p, text, len);
	if (!p->slots[i]) {
		if (p->bytes + len + 1 > p->max_bytes) {
			p->refused++;
			return NULL;
		}
		p->slots[i] = store(p, text, len + 1);
		if (!p->slots[i])
			return NULL;
		p->n++;
		p->bytes += len + 1;
	}
	return p->slots[i];
}

size_t strpool__bytes(const struct strpool *p)
{
	return p->bytes + p->nslots * sizeof(*p->slots);
}

size_t strpool__refused(const struct strpool *p)
{
	return p->refused;
}
