/* SPDX-License-Identifier: GPL-2.0-or-later */
/* musl_image.h - the memory of a small program with musl's malloc, for tests to damage. */
#ifndef TESTS_MUSL_IMAGE_H
#define TESTS_MUSL_IMAGE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "model/heap_memory.h"
#include "model/ledger.h"

#define SECRET 0x1122334455667788ULL
#define DATA 0x500000ULL  /* of libc, with the context */
#define PAGES 0x600000ULL /* two of descriptors */
#define HEAP 0x7f0000000000ULL
#define HEAP_BYTES 0x8000

static struct {
	uint64_t data[512];
	uint64_t pages[2][512];
	uint8_t heap[HEAP_BYTES];
} memory;

static struct ledger_map maps[] = {
	{.start = DATA,
	 .end = DATA + 4096,
	 .perms = "rw-p",
	 .path = "/lib/ld-musl-x86_64.so.1",
	 .rss = 4096},
	{.start = PAGES, .end = PAGES + 8192, .perms = "rw-p", .path = "[heap]", .rss = 8192},
	{.start = HEAP,
	 .end = HEAP + HEAP_BYTES,
	 .perms = "rw-p",
	 .path = "",
	 .rss = HEAP_BYTES - 4096},
};
static const struct ledger_input input = {.map = maps,
					  .n = 3,
					  .rss_bytes = 4096 * 3 + HEAP_BYTES - 4096,
					  .virt_bytes = 4096 * 3 + HEAP_BYTES};
/* a page amid the large block is not resident */
static const struct heap_extent present[] = {{DATA, DATA + 4096},
					     {PAGES, PAGES + 8192},
					     {HEAP, HEAP + 0x5000},
					     {HEAP + 0x6000, HEAP + HEAP_BYTES}};

static void *at(uint64_t addr, size_t len)
{
	if (addr >= DATA && addr + len <= DATA + 4096)
		return (char *)memory.data + (addr - DATA);
	if (addr >= PAGES && addr + len <= PAGES + 8192)
		return (char *)memory.pages + (addr - PAGES);
	if (addr >= HEAP && addr + len <= HEAP + HEAP_BYTES)
		return memory.heap + (addr - HEAP);
	return NULL;
}

static int read_memory(void *arg, uint64_t addr, void *buf, size_t len)
{
	const void *from = at(addr, len);

	if (from)
		memcpy(buf, from, len);
	return from ? 0 : -EFAULT;
}

static void put(uint64_t addr, uint64_t value)
{
	memcpy(at(addr, 8), &value, 8);
}

/* Group number i of page p: its descriptor, and its link back. */
static void group(int p, int i, uint64_t mem, uint32_t avail, uint32_t freed, unsigned last,
		  unsigned class, uint64_t pages)
{
	uint64_t meta = PAGES + (uint64_t)p * 4096 + 24 + (uint64_t)i * 40;

	put(meta + 16, mem);
	put(meta + 24, avail | (uint64_t)freed << 32);
	put(meta + 32, last | (uint64_t) class << 6 | pages << 12);
	put(mem, meta);
}

/* A block of n bytes in the slot of so many bytes that begins at start. */
static void block(uint64_t start, uint64_t stride, unsigned index, uint64_t n, unsigned skip)
{
	uint64_t p = start + skip, end = start + stride - 4, left = end - p - n;
	uint8_t *head = at(p - 4, 4);
	uint32_t long_left = (uint32_t)left;

	head[0] = 0;
	head[1] = (uint8_t)(index | (left < 5 ? left : 5) << 5);
	if (left >= 5)
		memcpy(at(end - 4, 4), &long_left, 4);
	if (skip) {
		head = at(start - 4, 4);
		head[1] = 7 << 5;
		head[2] = (uint8_t)(skip / 16);
		head[3] = 0;
	}
}

#define BIG (HEAP + 0x4000) /* a mapping for one block */

static void make(void)
{
	memset(&memory, 0, sizeof(memory));
	memory.data[100] = SECRET;
	memory.data[107] = PAGES;
	memory.data[108] = PAGES + 4096;
	for (int i = 0; i < 2; i++) {
		memory.pages[i][0] = SECRET;
		memory.pages[i][1] = i ? 0 : PAGES + 4096;
		memory.pages[i][2] = 101;
	}
	/* four slots of 1008 bytes in two pages: a block, a group of 31 slots of 32, two free ones
	 */
	group(0, 0, HEAP, 4, 8, 3, 19, 2);
	block(HEAP + 16, 1008, 0, 1001, 0);
	group(0, 1, HEAP + 16 + 1008, 0x7ffffff8, 0, 30, 1, 0);
	for (unsigned i = 0; i < 3; i++) /* 28 bytes, with the first 12 left out, 5 */
		block(HEAP + 16 + 1008 + 16 + i * 32, 32, i, i == 2 ? 5 : 12 + 16 * (i == 0),
		      i == 1 ? 16 : 0);
	group(1, 7, BIG, 0, 0, 0, 63, 4);
	block(BIG + 16, 4 * 4096 - 16, 0, 16000, 48);
}

#endif
