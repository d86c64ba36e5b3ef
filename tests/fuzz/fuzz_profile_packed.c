/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Samples that a helper packed, of any bytes: what the check lets pass is added to a profile, every
 * index of which then lies inside. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/profile_packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct profile *p)
{
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];

		if (s->stack0 + (size_t)s->nstack > p->nstack ||
		    s->label0 + (size_t)s->nlabels > p->nlabels)
			abort();
		for (uint32_t k = 0; k < s->nstack; k++) {
			if (p->stack[s->stack0 + k] >= p->nlocations)
				abort();
		}
	}
	for (size_t i = 0; i < p->nlocations; i++) {
		const struct profile_location *l = &p->locations[i];

		if (l->line0 + (size_t)l->nlines > p->nlines ||
		    (l->mapping != PROFILE_NONE && l->mapping >= p->nmappings))
			abort();
		for (uint32_t k = 0; k < l->nlines; k++) {
			if (p->lines[l->line0 + k].function >= p->nfunctions)
				abort();
		}
	}
	for (size_t i = 0; i < p->nfunctions; i++)
		profile__text(p, p->functions[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct profile_label label = {.num = 7};
	struct profile *p;
	uint8_t *copy = malloc(size ? size : 1); /* exactly so long, so that ASan sees the end */

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (!profile_packed__check(copy, size) && !profile__new(&p)) {
		if (profile__set_heap_types(p, 1) || profile__string(p, "pid", &label.key))
			abort();
		profile_packed__add(copy, size, p, &label, 1);
		check(p);
		profile__free(p);
	}
	free(copy);
	return 0;
}
