/* SPDX-License-Identifier: GPL-2.0-or-later */
/* perf-PID.map and jitdump contents of any bytes, read in two pieces as a growing file is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/jitmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *copy(const uint8_t *p, size_t n) /* exactly n bytes, so that ASan sees the end */
{
	uint8_t *c = malloc(n ? n : 1);

	if (c && n)
		memcpy(c, p, n);
	return c;
}

static void feed(struct jitmap *m, const uint8_t *data, size_t size, int dump)
{
	size_t half = size / 2;
	uint8_t *a = copy(data, half), *b;
	ssize_t used =
		dump ? jitmap__add_dump(m, a, half, 1) : jitmap__add_perf(m, (const char *)a, half);

	if (used > (ssize_t)half)
		abort();
	if (used >= 0) {
		b = copy(data + used, size - used);
		if (dump)
			jitmap__add_dump(m, b, size - used, !used);
		else
			jitmap__add_perf(m, (const char *)b, size - used);
		free(b);
	}
	free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jitmap m = {0};
	int dump = size > 4 && !memcmp(data, "DTiJ", 4);

	feed(&m, data, size, dump);
	for (size_t i = 0; i < m.n && i < 64; i++) {
		struct jitmap_found f = jitmap__find(&m, m.entries[i].start);

		if (f.name && strlen(f.name) > 4096)
			abort();
	}
	jitmap__find(&m, 0);
	jitmap__find(&m, UINT64_MAX);
	jitmap__clear(&m);
	return 0;
}
