/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as code without unwind information: rows ascend inside of it, and their table is sound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/unwind_code.h"
#include "elf/unwind_table.h"

#define VADDR 0x1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p;
	size_t n;
};

/* The code itself again behind it: tables that lead anywhere. */
static size_t read_behind(void *arg, uint64_t vaddr, void *buf, size_t len)
{
	const struct bytes *b = arg;
	uint64_t at = vaddr - VADDR - b->n;

	if (at >= b->n || len > b->n - at)
		return 0;
	memcpy(buf, b->p + at, len);
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* exactly so long, so that ASan sees the end */
	struct bytes b = {copy, size};
	const struct unwind_code code = {copy, size, VADDR, read_behind, &b};
	const uint64_t entries[] = {VADDR, VADDR + size / 2, 0, VADDR + size};
	struct unwind_table *t = NULL;
	struct mw_unwind_row *rows;
	size_t n;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!unwind_code__read(&code, entries, 4, &rows, &n)) {
		for (size_t i = 0; i < n; i++) {
			if (rows[i].off > size || (i && rows[i].off <= rows[i - 1].off))
				abort();
		}
		if (!unwind_table__from_rows(rows, n, &t) &&
		    unwind_table__check(t->words, t->n_words))
			abort();
		unwind_table__free(t);
		free(rows);
	}
	free(copy);
	return 0;
}
