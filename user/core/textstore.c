/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/textstore.h"

#include "core/util.h"

#include <string.h>

#define CHUNK_MIN ((size_t)1 << 10)
#define CHUNK_MAX ((size_t)1 << 16)

struct text_chunk {
	struct text_chunk *next;
	size_t used, cap;
	char text[];
};

static struct text_chunk *add_chunk(struct textstore *s, size_t least)
{
	size_t cap = s->chunks ? min_of(s->chunks->cap * 2, CHUNK_MAX) : CHUNK_MIN;
	struct text_chunk *c;

	cap = max_of(cap, least);
	c = malloc(sizeof(*c) + cap);
	if (!c)
		return NULL;
	*c = (struct text_chunk){.next = s->chunks, .cap = cap};
	s->chunks = c;
	return c;
}

const char *textstore__add(struct textstore *s, const char *text, size_t len)
{
	struct text_chunk *c = s->chunks;
	char *copy;

	if (!c || c->cap - c->used <= len)
		c = add_chunk(s, len + 1);
	if (!c)
		return NULL;
	copy = c->text + c->used;
	if (len)
		memcpy(copy, text, len);
	copy[len] = 0;
	c->used += len + 1;
	return copy;
}

void textstore__fini(struct textstore *s)
{
	while (s->chunks) {
		struct text_chunk *next = s->chunks->next;

		free(s->chunks);
		s->chunks = next;
	}
}
