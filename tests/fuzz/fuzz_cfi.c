/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The call frame information reader and the table builder on any bytes. The first byte chooses
 * .eh_frame or .debug_frame; the rest is the section. Whatever comes in, a table that comes out is
 * sound, and its look-ups agree with a plain scan of its rows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/unwind_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lookups(const struct unwind_table *t, const uint8_t *data, size_t size)
{
	const struct mw_unwind_hdr *h = unwind_table__hdr(t);
	const struct mw_unwind_row *rows = (const void *)(t->words + h->rows);

	for (size_t i = 0; i + 4 <= size && i < 64; i += 4) {
		const struct mw_unwind_row *want = NULL, *got;
		uint32_t off;

		memcpy(&off, data + i, 4);
		off &= (1 << 20) - 1;
		got = unwind_table__find(t, off);
		for (uint32_t r = 0; r < h->n_rows && rows[r].off <= off; r++)
			want = &rows[r];
		if (got != want)
			abort();
		if (got && MW_UNWIND_TYPE(got->cfa) == MW_UNWIND_SIDE &&
		    unwind_table__side(t, got)->ra_from > MW_FROM_DEREF_REG)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct unwind_segment segs[] = {{0x1000, 0x1000, 1 << 20},
						     {0x400000, 0x200000, 1 << 16}};
	struct unwind_input in = {.segs = segs, .n_segs = 2, .entry = 0x2000};
	struct unwind_table *t = NULL;
	struct ehframe_section *s;
	uint8_t *copy;

	if (!size)
		return 0;
	copy = malloc(size - 1); /* of its exact size, so that reading past it is seen */
	if (!copy && size > 1)
		return 0;
	memcpy(copy, data + 1, size - 1);
	s = data[0] & 1 ? &in.debug : &in.eh;
	*s = (struct ehframe_section){.data = copy,
				      .len = size - 1,
				      .vaddr = 0x1000,
				      .debug_frame = data[0] & 1,
				      .arm64 = data[0] & 2};
	if (!unwind_table__build(&in, &t)) {
		if (unwind_table__check(t->words, t->n_words))
			abort();
		check_lookups(t, data, size);
		unwind_table__free(t);
	}
	free(copy);
	return 0;
}
