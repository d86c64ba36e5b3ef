/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/strpool.h"

#include "core/hash_index.h"
#include "core/textstore.h"
#include "core/keyhash.h"
#include "core/util.h"

#include <string.h>

struct strpool {
	struct textstore store;
	const char **texts; /* index.n */
	size_t texts_cap;
	struct hash_index index;
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
	textstore__fini(&p->store);
	free(p->texts);
	hash_index__fini(&p->index);
	free(p);
}

const char *strpool__add(struct strpool *p, const char *text)
{
	size_t len, at = HASH_INDEX_START;
	uint64_t hash;
	uint32_t i;

	if (!text)
		return NULL;
	len = strlen(text);
	hash = keyhash__bytes(text, len);
	while (hash_index__next(&p->index, hash, &at, &i)) {
		if (!strcmp(p->texts[i], text))
			return p->texts[i];
	}
	if (p->bytes + len + 1 > p->max_bytes) {
		p->refused++;
		return NULL;
	}
	if (hash_index__reserve(&p->index) || array_reserve(p->texts, p->texts_cap, p->index.n + 1))
		return NULL;
	text = textstore__add(&p->store, text, len);
	if (!text)
		return NULL;
	p->texts[p->index.n] = text;
	hash_index__add(&p->index, hash);
	p->bytes += len + 1;
	return text;
}

size_t strpool__bytes(const struct strpool *p)
{
	return p->bytes + p->texts_cap * sizeof(*p->texts) + hash_index__bytes(&p->index);
}

size_t strpool__refused(const struct strpool *p)
{
	return p->refused;
}
