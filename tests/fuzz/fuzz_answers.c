/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a helper answers, of any bytes: texts or an error, and no more addresses than asked for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/symclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t seen, bytes;

static void on_answer(void *arg, size_t i, const struct symclient_frame *f, int n, int err)
{
	if (i != seen++)
		abort();
	for (int k = 0; k < n; k++) {
		for (int t = 0; t < SYM_TEXTS; t++)
			bytes += f[k].text[t] ? strlen(f[k].text[t]) : 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* exactly so long, so that ASan sees the end */
	ptrdiff_t got;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	seen = 0;
	got = symclient__decode(copy, size, 0, 16, on_answer, NULL);
	if (seen > 16 || (got >= 0 && (size_t)got != seen))
		abort();
	free(copy);
	return 0;
}
