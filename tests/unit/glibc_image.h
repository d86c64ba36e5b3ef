/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc_image.h - a small process with glibc 2.36's heap made by hand: libc's data with the main
 * arena and malloc's parameters, the brk area, one thread's arena with an older and a newer heap,
 * a chunk with a mapping of its own.
 */
#ifndef TESTS_GLIBC_IMAGE_H
#define TESTS_GLIBC_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/glibc_heap.h"
#include "model/ledger.h"

#define I_LIBC 0x7f0000200000ULL
#define I_MAIN (I_LIBC + 0x100)
#define I_BRK 0x555555000000ULL
#define I_OLD 0x7e0000000000ULL /* the arena's first heap */
#define I_NEW 0x7e0010000000ULL
#define I_MMAP 0x7f1000000000ULL
#define I_ARENA 0x7f2000000000ULL
#define I_PYTHON 0x7f3000000000ULL
#define I_KEY 0x9e3779b97f4a7c15ULL
#define I_BRK_LEN 0x10000
#define I_HEAP_LEN 0x8000

enum { IMAGE_LIBC, IMAGE_BRK, IMAGE_OLD, IMAGE_NEW, IMAGE_MMAP, IMAGE_PARTS };

struct image {
	uint8_t libc[0x4000], brk[I_BRK_LEN], old[I_HEAP_LEN], new[I_HEAP_LEN], mmap[0x4000];
	uint8_t python[0x1000];
	struct ledger_map map[12];
	struct ledger_input maps;
	struct heap_extent present[IMAGE_PARTS + 2];
	size_t npresent;
	unsigned reads, tear_at; /* the tear_at-th read sees tear_value at tear_addr */
	uint64_t tear_addr, tear_value;
};

static inline uint8_t *image_at(struct image *m, uint64_t addr, size_t len)
{
	const struct {
		uint64_t start;
		uint8_t *p;
		size_t len;
	} part[] = {{I_LIBC, m->libc, sizeof(m->libc)}, {I_BRK, m->brk, sizeof(m->brk)},
		    {I_OLD, m->old, sizeof(m->old)},	{I_NEW, m->new, sizeof(m->new)},
		    {I_MMAP, m->mmap, sizeof(m->mmap)}, {I_PYTHON, m->python, sizeof(m->python)}};

	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		if (addr >= part[i].start && addr - part[i].start <= part[i].len &&
		    len <= part[i].len - (addr - part[i].start))
			return part[i].p + (addr - part[i].start);
	}
	return NULL;
}

static inline void image_put(struct image *m, uint64_t addr, uint64_t v)
{
	uint8_t *p = image_at(m, addr, 8);

	if (p)
		memcpy(p, &v, 8);
}

static inline uint64_t image_get(struct image *m, uint64_t addr)
{
	uint8_t *p = image_at(m, addr, 8);
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, 8);
	return v;
}

static inline int image_read(void *arg, uint64_t addr, void *buf, size_t len)
{
	struct image *m = arg;
	uint8_t *p = image_at(m, addr, len);

	if (!p)
		return -14;
	memcpy(buf, p, len);
	if (++m->reads == m->tear_at && m->tear_addr >= addr && m->tear_addr + 8 <= addr + len)
		memcpy((uint8_t *)buf + (m->tear_addr - addr), &m->tear_value, 8);
	return 0;
}

static inline bool image_now_present(void *arg, uint64_t addr)
{
	return false;
}

/* Puts a chunk of `size` at *at and moves *at behind it. */
static inline uint64_t image_chunk(struct image *m, uint64_t *at, uint64_t size, uint64_t flags)
{
	uint64_t p = *at;

	image_put(m, p + 8, size | flags);
	*at = p + size;
	return p;
}

/* A free chunk: the next one knows its size and that it is free (written by image_chunk's caller
 * with flags without 1). */
static inline uint64_t image_free(struct image *m, uint64_t *at, uint64_t size, uint64_t flags)
{
	uint64_t p = image_chunk(m, at, size, flags);

	image_put(m, *at, size);
	return p;
}

static inline void image_arena(struct image *m, uint64_t start, uint64_t top, uint64_t next,
			       uint64_t system_mem)
{
	uint64_t bins = start + 0x70;

	for (int i = 0; i < 127; i++) {
		image_put(m, bins + 16 * i, bins + 16 * i - 16);
		image_put(m, bins + 16 * i + 8, bins + 16 * i - 16);
	}
	image_put(m, bins - 16, top);
	image_put(m, bins + 2048, next);
	image_put(m, bins + 2072, system_mem);
}

static inline void image_map(struct image *m, uint64_t start, uint64_t len, const char *perms,
			     char *path, bool resident)
{
	struct ledger_map *r = &m->map[m->maps.n++];

	*r = (struct ledger_map){.start = start, .end = start + len, .path = path};
	memcpy(r->perms, perms, 5);
	r->rss = resident ? len : 0;
	m->maps.rss_bytes += r->rss;
	m->maps.virt_bytes += len;
}

#define IMAGE_USED (0x290 + 10 * 0x70 + 0x2000) /* of the brk area; without the caches */
#define IMAGE_THREAD_USED (0x100 * 3 + 0x290)
#define I_TABLE (IMAGE_FREE_AT + 0x400 + 0x50 + 2 * 0x30 + 16)
#define IMAGE_FREE_AT (I_BRK + 0x290 + 10 * 0x70)

/* Everything above; which sizes are what stands in the #defines and in the comments here. */
static inline void image_make(struct image *m)
{
	uint64_t at = I_BRK, new_top, arena = I_OLD + 48, p;

	memset(m, 0, sizeof(*m));
	image_chunk(m, &at, 0x290, 1);
	for (int i = 0; i < 10; i++)
		image_chunk(m, &at, 0x70, 1);
	image_free(m, &at, 0x400, 1);	  /* the only chunk in a bin */
	p = image_chunk(m, &at, 0x50, 0); /* in a thread cache */
	image_put(m, p + 16, (p + 16) >> 12);
	image_put(m, p + 24, I_KEY);
	p = image_chunk(m, &at, 0x30, 1); /* two in a fast bin */
	image_put(m, p + 16, (p + 16) >> 12);
	image_put(m, at + 16, p ^ (at + 16) >> 12);
	image_chunk(m, &at, 0x30, 1);
	image_chunk(m, &at, 0x2000, 1);
	image_put(m, at + 8, (I_BRK + I_BRK_LEN - at) | 1); /* top */
	image_arena(m, I_MAIN, at, arena, I_BRK_LEN);

	/* mp_: n_mmaps, n_mmaps_max, …, mmapped_mem, max_mmapped_mem, sbrk_base */
	image_put(m, I_LIBC + 0x2000 - 40, 1ULL << 32);
	image_put(m, I_LIBC + 0x2000 - 32, 65536);
	image_put(m, I_LIBC + 0x2000 - 16, 0x3000);
	image_put(m, I_LIBC + 0x2000, I_BRK);
	image_put(m, I_LIBC + 0x3000, I_KEY);

	/* the old heap: full, closed by fence posts */
	image_put(m, I_OLD, arena);
	image_put(m, I_OLD + 16, I_HEAP_LEN);
	at = (arena + 0x898 + 15) & ~15ULL;
	image_chunk(m, &at, 0x290, 1 | 4);
	image_chunk(m, &at, 0x100, 1 | 4);
	image_free(m, &at, I_OLD + I_HEAP_LEN - 32 - at, 1);
	image_put(m, at + 8, 16);
	image_put(m, at + 24, 1);
	/* the new one */
	image_put(m, I_NEW, arena);
	image_put(m, I_NEW + 8, I_OLD);
	image_put(m, I_NEW + 16, I_HEAP_LEN);
	at = I_NEW + 48;
	image_chunk(m, &at, 0x100, 1 | 4);
	image_chunk(m, &at, 0x100, 1 | 4);
	new_top = at;
	image_put(m, at + 8, (I_NEW + I_HEAP_LEN - at) | 1);
	image_arena(m, arena, new_top, I_MAIN, 2 * I_HEAP_LEN);

	image_put(m, I_MMAP + 8, 0x3000 | 2);

	image_map(m, I_BRK, I_BRK_LEN, "rw-p", (char *)"[heap]", true);
	image_map(m, I_OLD, I_HEAP_LEN, "rw-p", (char *)"", true);
	image_map(m, I_OLD + I_HEAP_LEN, (64 << 20) - I_HEAP_LEN, "---p", (char *)"", false);
	image_map(m, I_NEW, I_HEAP_LEN, "rw-p", (char *)"", true);
	image_map(m, I_NEW + I_HEAP_LEN, (64 << 20) - I_HEAP_LEN, "---p", (char *)"", false);
	image_map(m, I_LIBC, 0x4000, "rw-p", (char *)"/lib/x/libc.so.6", true);
	image_map(m, I_MMAP, 0x4000, "rw-p", (char *)"", true);
	m->maps.map = m->map;
	m->present[0] = (struct heap_extent){I_BRK, I_BRK + I_BRK_LEN};
	m->present[1] = (struct heap_extent){I_OLD, I_OLD + I_HEAP_LEN};
	m->present[2] = (struct heap_extent){I_NEW, I_NEW + I_HEAP_LEN};
	m->present[3] = (struct heap_extent){I_LIBC, I_LIBC + 0x4000};
	m->present[4] = (struct heap_extent){I_MMAP, I_MMAP + 0x4000};
	m->npresent = IMAGE_PARTS;
}

/* Makes it a Python with two arenas, of which 20 KiB are resident; its table fills the used chunk
 * of 8 KiB. */
static inline void image_add_python(struct image *m)
{
	for (int i = 0; i < 2; i++) {
		image_put(m, I_TABLE + 48 * 7 * i, I_ARENA + (i << 20));
		image_put(m, I_TABLE + 48 * 7 * i + 8, I_ARENA + (i << 20) + 0x8000);
		image_put(m, I_TABLE + 48 * 7 * i + 16, 62 | 64ULL << 32);
	}
	image_put(m, I_PYTHON + 0x100, I_TABLE);
	image_map(m, I_ARENA, 3 << 20, "rw-p", (char *)"", false);
	image_map(m, I_PYTHON, 0x1000, "rw-p", (char *)"/usr/bin/python3.11", true);
	m->maps.rss_bytes += m->map[m->maps.n - 2].rss = 0x5000;
	m->present[m->npresent++] = (struct heap_extent){I_ARENA + 0xff000, I_ARENA + 0x104000};
	m->present[m->npresent++] = (struct heap_extent){I_PYTHON, I_PYTHON + 0x1000};
}

static inline struct heap_memory image_input(struct image *m)
{
	return (struct heap_memory){.maps = &m->maps,
				    .present = m->present,
				    .npresent = m->npresent,
				    .version = 236,
				    .read = image_read,
				    .now_present = image_now_present,
				    .arg = m};
}

#endif
