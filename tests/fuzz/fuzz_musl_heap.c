/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heaps of musl's malloc of any content: a whole one is made, the input changes bytes of it (where,
 * what). Whatever comes out, the ledger adds up and has nothing below zero. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/musl_image.h"
#include "model/contributors.h"
#include "model/musl_heap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct patch {
	uint8_t part, bytes; /* of the value */
	uint16_t where;
	uint64_t value;
} __attribute__((packed));

static void apply(const struct patch *p)
{
	static const struct {
		uint64_t start, len;
	} parts[] = {{DATA, 4096}, {PAGES, 8192}, {HEAP, HEAP_BYTES}};
	size_t part = p->part % 3, len = 1 + p->bytes % 8;
	uint64_t value = p->value;

	if (p->part & 0x80) /* an address that may make sense */
		value = parts[value % 3].start + (value >> 8 & 0xffff);
	memcpy(at(parts[part].start + p->where % (parts[part].len - 8), len), &value, len);
}

static void check(const struct ledger_share *s, bool known)
{
	struct ledger_heap heap = {.known = known, .share = s, .nshares = 1};
	int64_t rss = 0, virt = 0;
	struct ledger l;

	ledger__make(&input, &heap, &l);
	for (int i = 0; i < LEDGER_KINDS; i++) {
		rss += l.line[i].rss_bytes;
		virt += l.line[i].virt_bytes;
		if (l.line[i].rss_bytes < 0 || l.line[i].virt_bytes < 0)
			abort();
	}
	if (rss != (int64_t)input.rss_bytes || virt != (int64_t)input.virt_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ledger_block blocks[] = {{HEAP + 16, 1001, 1001, 0}, {BIG + 64, 1e9, 77, 0}};
	const struct heap_memory m = {.maps = &input,
				      .present = present,
				      .npresent = sizeof(present) / sizeof(*present),
				      .block = blocks,
				      .nblocks = sizeof(blocks) / sizeof(*blocks),
				      .read = read_memory};
	struct ledger_share s;
	struct patch p;

	make();
	for (; size >= sizeof(p); data += sizeof(p), size -= sizeof(p)) {
		memcpy(&p, data, sizeof(p));
		apply(&p);
	}
	if (!musl_heap__find(&m, &s)) {
		check(&s, true);
		check(&s, false);
	}
	contributors__free(&s, 1);
	return 0;
}
