/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_biggest.h - of many processes' timelines those that matter, and the others as one. */
#ifndef MODEL_TIMELINE_BIGGEST_H
#define MODEL_TIMELINE_BIGGEST_H

#include "model/timeline.h"

struct timeline_biggest {
	const struct timeline **t; /* the array owned, its elements borrowed */
	size_t n;
	struct timeline rest; /* the sum of the others; its name is "" if there are none */
};

/* Those with the highest RSS first, `most` of them; where there are hardly more, all, in their own
 * order. The rest is what each process had last, while it was there. 0 or -ENOMEM; free in any
 * case. */
int timeline_biggest__new(struct timeline_biggest *b, const struct timeline *const *t, size_t n,
			  size_t most);
void timeline_biggest__free(struct timeline_biggest *b);

#endif
