/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keytab.h - numbers keys (short arrays of u32) in the order of their first appearance. */
#ifndef REPORT_KEYTAB_H
#define REPORT_KEYTAB_H

#include "core/hash_index.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keytab {
	uint32_t *words; /* all keys */
	size_t nwords, words_cap;
	size_t *at; /* key i is words[at[i]..at[i+1]] */
	size_t at_cap;
	struct hash_index index; /* index.n keys */
};

void keytab__free(struct keytab *t);

/* The number of the key, added if it is new. 0, -ENOMEM, -E2BIG. */
int keytab__add(struct keytab *t, const uint32_t *key, size_t len, uint32_t *ret, bool *ret_new);

#endif
