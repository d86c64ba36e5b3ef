/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blobs of a history, of any bytes: passes over processes are applied to each other, and written
 * again as what they then are. Blobs follow each other, each behind its length (2 bytes). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "history/packed.h"
#include "history/pass_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct pass_state *s)
{
	struct pass_state none = {0}, again = {0};
	uint8_t *blob;
	size_t len;

	for (size_t i = 0; i < s->n; i++) {
		if ((i && s->e[i].id <= s->e[i - 1].id) ||
		    pass_state__find(s, s->e[i].id) != &s->e[i])
			abort();
	}
	if (pass_code__write(&none, s, &blob, &len))
		abort();
	if (pass_code__apply(&again, blob, len) || again.n != s->n ||
	    (s->n && memcmp(again.e, s->e, s->n * sizeof(*s->e)) != 0))
		abort();
	free(blob);
	pass_state__clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pass_state s = {0}, one = {0};
	uint8_t *raw;
	size_t len;

	while (size > 2) {
		size_t n = data[0] | (size_t)data[1] << 8;
		uint8_t *copy;

		data += 2;
		size -= 2;
		n = n < size ? n : size;
		copy = malloc(n ? n : 1); /* exactly so long, so that ASan sees the end */
		if (!copy)
			break;
		memcpy(copy, data, n);
		one.n = 0;
		if (s.n)
			pass_state__set(&one, s.e, 1);
		pass_code__apply_one(&one, s.n ? s.e->id : 1, copy, n);
		if (!pass_code__apply(&s, copy, n))
			check(&s);
		if (!packed__read(copy, n, &raw, &len))
			free(raw);
		free(copy);
		data += n;
		size -= n;
	}
	pass_state__clear(&s);
	pass_state__clear(&one);
	return 0;
}
