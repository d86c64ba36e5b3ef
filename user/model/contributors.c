/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/contributors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/glibc_heap.h"
#include "model/go_arenas.h"
#include "model/musl_heap.h"
#include "model/python_arenas.h"

const struct contributor contributors[CONTRIBUTORS] = {
	{"Go", go_arenas__classify, go_arenas__find},
	{"Python", NULL, python_arenas__share},
	{"glibc", glibc_heap__classify, glibc_heap__find},
	{"musl", NULL, musl_heap__find},
};

enum ledger_kind contributors__classify(const struct ledger_input *in, size_t i)
{
	for (size_t k = 0; k < CONTRIBUTORS; k++) {
		enum ledger_kind kind =
			contributors[k].classify ? contributors[k].classify(in, i) : LEDGER_KINDS;

		if (kind != LEDGER_KINDS)
			return kind;
	}
	return LEDGER_KINDS;
}

int contributors__find(const struct heap_memory *m, struct ledger_share ret[CONTRIBUTORS],
		       size_t *ret_n, char *note, size_t note_len)
{
	struct heap_memory left = *m;
	bool walked = false;
	int worst = -ENOENT;

	*ret_n = 0;
	snprintf(note, note_len, "no heap of glibc's or musl's malloc is here");
	for (size_t k = 0; k < CONTRIBUTORS; k++) {
		struct ledger_share *s = &ret[*ret_n];
		int err;

		memset(s, 0, sizeof(*s));
		err = contributors[k].find ? contributors[k].find(&left, s) : -ENOENT;
		if (!err) {
			(*ret_n)++;
			walked |= s->walk.done;
			if (s->walk.done) {
				left.block = s->stray;
				left.nblocks = s->nstray;
			}
			continue;
		}
		if (err != -ENOENT && s->rest == LEDGER_USED) {
			worst = err;
			snprintf(note, note_len, "%s", s->walk.note);
		}
		contributors__free(s, 1);
	}
	return walked ? 0 : worst;
}

void contributors__free(struct ledger_share *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(s[i].cover);
		free(s[i].stray);
	}
	memset(s, 0, n * sizeof(*s));
}
