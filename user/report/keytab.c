/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keytab.c - see keytab.h. */
#include "report/keytab.h"

#include "core/keyhash.h"
#include "core/util.h"

#include <string.h>

void keytab__free(struct keytab *t)
{
	free(t->words);
	free(t->at);
	hash_index__fini(&t->index);
	*t = (struct keytab){0};
}

int keytab__add(struct keytab *t, const uint32_t *key, size_t len, uint32_t *ret, bool *ret_new)
{
	uint64_t hash = keyhash__bytes(key, len * sizeof(*key));
	size_t at = HASH_INDEX_START, n = t->index.n;
	int err;

	while (hash_index__next(&t->index, hash, &at, ret)) {
		if (t->at[*ret + 1] - t->at[*ret] == len &&
		    (!len || !memcmp(t->words + t->at[*ret], key, len * sizeof(*key)))) {
			*ret_new = false;
			return 0;
		}
	}
	if (n >= UINT32_MAX - 1)
		return -E2BIG;
	err = hash_index__reserve(&t->index);
	if (!err)
		err = array_reserve(t->at, t->at_cap, n + 2);
	if (!err)
		err = array_reserve(t->words, t->words_cap, t->nwords + len);
	if (err)
		return err;
	if (len)
		memcpy(t->words + t->nwords, key, len * sizeof(*key));
	t->nwords += len;
	t->at[0] = 0;
	t->at[n + 1] = t->nwords;
	hash_index__add(&t->index, hash);
	*ret = n;
	*ret_new = true;
	return 0;
}
