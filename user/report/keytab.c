/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keytab.c - see keytab.h. */
#include "report/keytab.h"

#include "core/util.h"

#include <string.h>

void keytab__free(struct keytab *t)
{
	free(t->words);
	free(t->at);
	free(t->slot);
	*t = (struct keytab){0};
}

static int grow_slots(struct keytab *t)
{
	size_t n = t->nslots ? t->nslots * 2 : 256;
	uint32_t *slot = calloc(n, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		size_t len = t->at[i + 1] - t->at[i];
		size_t j = util__hash(t->words + t->at[i], len * sizeof(*t->words)) & (n - 1);

		while (slot[j])
			j = (j + 1) & (n - 1);
		slot[j] = i + 1;
	}
	free(t->slot);
	t->slot = slot;
	t->nslots = n;
	return 0;
}

int keytab__add(struct keytab *t, const uint32_t *key, size_t len, uint32_t *ret, bool *ret_new)
{
	size_t i;
	int err = (t->n + 1) * 2 > t->nslots ? grow_slots(t) : 0;

	err = err ? err : array_reserve(t->at, t->at_cap, t->n + 2);
	if (err)
		return err;
	t->at[0] = 0;
	i = util__hash(key, len * sizeof(*key)) & (t->nslots - 1);
	for (; t->slot[i]; i = (i + 1) & (t->nslots - 1)) {
		uint32_t id = t->slot[i] - 1;

		if (t->at[id + 1] - t->at[id] == len &&
		    (!len || !memcmp(t->words + t->at[id], key, len * sizeof(*key)))) {
			*ret = id;
			*ret_new = false;
			return 0;
		}
	}
	if (t->n >= UINT32_MAX - 1)
		return -E2BIG;
	err = array_reserve(t->words, t->words_cap, t->nwords + len);
	if (err)
		return err;
	if (len)
		memcpy(t->words + t->nwords, key, len * sizeof(*key));
	t->nwords += len;
	t->at[t->n + 1] = t->nwords;
	t->slot[i] = t->n + 1;
	*ret = t->n++;
	*ret_new = true;
	return 0;
}
