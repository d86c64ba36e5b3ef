/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profile_copy.c - a profile to change while the first stays as it is; see profile.h. */
#include "core/util.h"
#include "model/profile.h"

#include <string.h>

/* A copy of n elements, room for one more. */
static int copy_array(void **ret, size_t *ret_cap, const void *items, size_t n, size_t size)
{
	*ret = NULL;
	*ret_cap = 0;
	if (util__grow(ret, ret_cap, n + 1, size))
		return -ENOMEM;
	if (n)
		memcpy(*ret, items, n * size);
	return 0;
}

#define COPY(to, from, array, n, cap)                                          \
	({                                                                     \
		void *_p;                                                      \
		int _e = copy_array(&_p, &(to)->cap, (from)->array, (from)->n, \
				    sizeof(*(from)->array));                   \
		(to)->array = _p;                                              \
		_e;                                                            \
	})

static int copy_texts(struct profile *q, const struct profile *p)
{
	int err = COPY(q, p, strings, nstrings, strings_cap);

	q->store = (struct textstore){0};
	for (size_t i = 0; i < p->nstrings && !err; i++) {
		q->strings[i] = textstore__add(&q->store, p->strings[i], strlen(p->strings[i]));
		err = q->strings[i] ? 0 : -ENOMEM;
	}
	return err;
}

int profile__copy(const struct profile *p, struct profile **ret)
{
	struct profile *q, *fresh;
	int err = profile__new(&fresh);

	if (err)
		return err;
	q = malloc(sizeof(*q));
	if (!q) {
		profile__free(fresh);
		return -ENOMEM;
	}
	*q = *p;
	q->index = fresh->index;
	fresh->index = NULL;
	profile__free(fresh);
	q->losses = NULL;
	q->nlosses = q->losses_cap = 0;
	q->hists = NULL;
	q->nhists = q->hists_cap = 0;
	q->ages = NULL;
	q->nages = q->ages_cap = 0;
	q->ledgers = NULL;
	q->nledgers = q->ledgers_cap = 0;
	q->hist_total = NULL;
	/* All of them, so that none is left that belongs to p. */
	err |= copy_texts(q, p);
	err |= COPY(q, p, mappings, nmappings, mappings_cap);
	err |= COPY(q, p, functions, nfunctions, functions_cap);
	err |= COPY(q, p, lines, nlines, lines_cap);
	err |= COPY(q, p, locations, nlocations, locations_cap);
	err |= COPY(q, p, stack, nstack, stack_cap);
	err |= COPY(q, p, labels, nlabels, labels_cap);
	err |= COPY(q, p, samples, nsamples, samples_cap);
	err |= COPY(q, p, comments, ncomments, comments_cap);
	if (err) {
		profile__free(q);
		return -ENOMEM;
	}
	*ret = q;
	return 0;
}
