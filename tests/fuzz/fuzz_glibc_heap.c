/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heaps of any content: a whole one is made, and the input changes words of it (where, what; also
 * while it is walked) and says which of its pages are not resident. Python's arenas likewise.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/glibc_image.h"
#include "model/python_arenas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t starts[] = {I_LIBC, I_BRK, I_OLD, I_NEW, I_MMAP, I_PYTHON};

struct patch {
	uint16_t where; /* in words, of the part `what` & 7 */
	uint8_t what, shift;
	uint64_t value;
} __attribute__((packed));

static void apply(struct image *m, const struct patch *p)
{
	uint64_t at = starts[(p->what & 7) % 6] + (uint64_t)p->where * 8;
	uint64_t old = image_get(m, at), v = p->value;

	switch (p->what >> 3 & 3) {
	case 1: v = old + (int64_t)v; break;
	case 2: v = starts[v % 6] + (v >> 8 & 0xffff) * 8; break;
	case 3: v = old ^ v << (p->shift & 63); break;
	}
	if (p->what & 0x20) {
		m->tear_at = p->shift;
		m->tear_addr = at;
		m->tear_value = v;
	} else {
		image_put(m, at, v);
	}
}

static void check(const struct image *m, const struct glibc_heap *h,
		  const struct ledger_bytes *python)
{
	struct ledger_share share[2] = {{.rest = LEDGER_PYTHON,
					 .cover = (struct ledger_bytes *)python,
					 .ncover = python ? m->maps.n : 0}};
	const struct ledger_heap heap = {
		.known = true, .share = share, .nshares = h->cover ? 2 : 1};
	int64_t rss = 0, virt = 0;
	struct ledger l;

	glibc_heap__share(h, &share[1]);
	ledger__make(&m->maps, &heap, &l);
	for (int i = 0; i < LEDGER_KINDS; i++) {
		rss += l.line[i].rss_bytes;
		virt += l.line[i].virt_bytes;
		if (l.line[i].rss_bytes < 0 || l.line[i].virt_bytes < 0)
			abort();
	}
	if (rss != (int64_t)m->maps.rss_bytes || virt != (int64_t)m->maps.virt_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image m;
	const struct ledger_block blocks[] = {{I_BRK + 0x2a0, 0x600, 0x60},
					      {I_OLD + 0x1000, 1e9, 77},
					      {I_MMAP + 16, 0x2ff0, 0x2ff0}};
	struct heap_memory in;
	struct ledger_bytes *python;
	struct glibc_heap h;
	struct patch p;
	size_t n;

	image_make(&m);
	image_add_python(&m);
	in = image_input(&m);
	in.block = blocks;
	in.nblocks = sizeof(blocks) / sizeof(*blocks);
	if (size) {
		in.version = data[0] & 1 ? 236 : 220 + (data[0] >> 1 & 31);
		m.present[data[0] >> 6].end -= (data[0] >> 4 & 3) * 4096;
		data++;
		size--;
	}
	for (; size >= sizeof(p); data += sizeof(p), size -= sizeof(p)) {
		memcpy(&p, data, sizeof(p));
		apply(&m, &p);
	}
	glibc_heap__walk(&in, &h);
	python_arenas__find(&in, &python, &n);
	check(&m, &h, python);
	free(python);
	glibc_heap__free(&h);
	return 0;
}
