/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recordings of any bytes: read, replayed, judged. The checksums are put right first, so that the
 * fuzzer gets behind them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "format/record.h"
#include "format/record_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *data, size_t size)
{
	size_t at = sizeof(RECORD_MAGIC);
	struct record_block head;

	while (at + sizeof(head) <= size) {
		memcpy(&head, data + at, sizeof(head));
		head.magic = RECORD_BLOCK_MAGIC;
		if (head.length > size - at - sizeof(head))
			head.length = size - at - sizeof(head);
		head.crc = crc32(0, data + at + sizeof(head), head.length);
		memcpy(data + at, &head, sizeof(head));
		at += sizeof(head) + head.length;
	}
}

static void use(struct record *r)
{
	const struct record_tick *ticks;
	struct record_verdict *v = NULL;
	struct profile *p = NULL;
	size_t n = record__ticks(r, &ticks), nv;

	if (!record__profile(r, SIZE_MAX, n - 1, &p))
		profile__free(p);
	if (n > 1 && !record__profile(r, 0, n - 1, &p))
		profile__free(p);
	if (!record__verdicts(r, 0, n - 1, 10, 0, &v, &nv))
		free(v);
	record__tick_at(r, ticks[0].time_unix_ns);
	record__damage(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	struct record *r;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (size >= sizeof(RECORD_MAGIC)) {
		/* either version */
		memcpy(copy, copy[5] == '1' ? RECORD_MAGIC_1 : RECORD_MAGIC, sizeof(RECORD_MAGIC));
		mend(copy, size);
	}
	if (!record__read(copy, size, &r)) {
		use(r);
		record__free(r);
	}
	free(copy);
	return 0;
}
