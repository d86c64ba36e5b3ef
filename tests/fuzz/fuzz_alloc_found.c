/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a helper says of a file's allocators, of any bytes: sound or refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/alloc_box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct alloc_found *f)
{
	size_t bytes = strlen(f->build_id) + strlen(f->usdt_why);

	for (size_t i = 0; i < f->nsites; i++) {
		const struct site *s = &f->sites[i];

		bytes += strlen(s->func.name) + strlen(s->insn) + strlen(s->calls) + strlen(s->why);
		if (s->func.fn >= MW_FN_COUNT || s->ncallers > SITE_CALLERS ||
		    s->nlayer > LAYER_RANGES)
			abort();
	}
	for (size_t i = 0; i < f->nexits; i++)
		bytes += f->exits[i] != 0;
	for (size_t i = 0; i < f->ninner; i++) {
		if (f->inner[i].off >= f->inner[i].end)
			abort();
	}
	for (size_t i = 0; i < f->nusdt; i++) {
		if (!usdt__sound(&f->usdt[i]))
			abort();
	}
	if (bytes == SIZE_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* exactly so long, so that ASan sees the end */
	struct alloc_found f;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (!alloc_box__decode(copy, size, &f)) {
		check(&f);
		alloc_found__free(&f);
	}
	free(copy);
	return 0;
}
