/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unwind tables of any words, as a helper or a cache file hands them in: refused, or whatever is
 * looked up in them lies inside. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/unwind_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sum; /* what is read has to be there */

static void look_up(const struct unwind_table *t)
{
	const struct mw_unwind_hdr *h = unwind_table__hdr(t);
	const struct mw_unwind_row *rows = (const void *)(t->words + h->rows);

	for (uint32_t i = 0; i < h->n_rows && i < 256; i++) {
		for (uint64_t off = rows[i].off; off < rows[i].off + 2ULL; off++) {
			const struct mw_unwind_row *r = unwind_table__find(t, off);

			if (r && (r < rows || r >= rows + h->n_rows))
				abort();
			if (r && MW_UNWIND_TYPE(r->cfa) == MW_UNWIND_SIDE)
				sum += unwind_table__side(t, r)->ra_from;
		}
	}
	unwind_table__find(t, 0);
	unwind_table__find(t, UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_table *t;
	uint64_t *words = malloc(size / 8 ? size / 8 * 8 : 1); /* exactly so long */

	if (!words)
		return 0;
	memcpy(words, data, size / 8 * 8);
	if (unwind_table__adopt(words, size / 8, &t)) {
		free(words);
		return 0;
	}
	look_up(t);
	unwind_table__free(t);
	return 0;
}
