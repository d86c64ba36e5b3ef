/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gotab_image.h - a small Go function table made by hand, in the format of Go 1.20 and later:
 *
 *   main.outer [0x1000, 0x1040): a.go; lines 10 (0x1000…), 11 (0x1010…, in it main.inner inlined at
 *                                line 21 of b.go), 12 (0x1020…); frame 8, then 24 bytes
 *   main.plain [0x1040, 0x1060): b.go, line 30; frame 0
 */
#ifndef TESTS_GOTAB_IMAGE_H
#define TESTS_GOTAB_IMAGE_H

#include <stdint.h>
#include <string.h>

#define IMAGE_TEXT 0x1000
#define IMAGE_LEN 1024

struct image {
	uint8_t p[IMAGE_LEN];
	size_t len;
	uint8_t gofunc[64];
};

static inline void put32(uint8_t *p, size_t at, uint32_t v)
{
	memcpy(p + at, &v, 4);
}

static inline void put64(uint8_t *p, size_t at, uint64_t v)
{
	memcpy(p + at, &v, 8);
}

enum { NAMES = 80, CUS = 160, FILES = 176, PCS = 208, FUNCS = 304, REC1 = 64, REC2 = 160 };

/* One delta-coded step: the value changes by dv and holds for dp bytes. */
static inline size_t step(uint8_t *p, size_t at, int32_t dv, uint32_t dp)
{
	uint32_t u = dv < 0 ? ((uint32_t)(-dv) << 1) - 1 : (uint32_t)dv << 1;

	p[at++] = (uint8_t)u; /* all are below 128 */
	p[at++] = (uint8_t)dp;
	return at;
}

static inline void put_func(uint8_t *p, size_t rec, uint32_t entry, uint32_t name, uint32_t sp,
			    uint32_t file, uint32_t line, uint32_t start, uint32_t npcdata,
			    uint8_t nfuncdata)
{
	p += FUNCS + rec;
	put32(p, 0, entry);
	put32(p, 4, name);
	put32(p, 16, sp);
	put32(p, 20, file);
	put32(p, 24, line);
	put32(p, 28, npcdata);
	put32(p, 32, 0);
	put32(p, 36, start);
	p[43] = nfuncdata;
}

static inline void make_image(struct image *im)
{
	uint8_t *p = im->p;
	size_t at = PCS + 1; /* offset 0 means: no table */
	uint32_t sp, file, line, inl, sp2, file2, line2;

	memset(im, 0, sizeof(*im));
	put32(p, 0, 0xfffffff1);
	p[6] = 1;
	p[7] = 8;
	put64(p, 8, 2);
	put64(p, 16, 2);
	put64(p, 32, NAMES);
	put64(p, 40, CUS);
	put64(p, 48, FILES);
	put64(p, 56, PCS);
	put64(p, 64, FUNCS);
	memcpy(p + NAMES, "main.outer\0main.plain\0main.inner", 33);
	put32(p, CUS, 0);
	put32(p, CUS + 4, 5);
	memcpy(p + FILES, "a.go\0b.go", 10);

	sp = (uint32_t)at - PCS;
	at = step(p, at, 9, 4); /* -1 + 9 = 8 */
	at = step(p, at, 16, 60);
	p[at++] = 0;
	file = (uint32_t)at - PCS;
	at = step(p, at, 1, 0x10);
	at = step(p, at, 1, 0x10);
	at = step(p, at, -1, 0x20);
	p[at++] = 0;
	line = (uint32_t)at - PCS;
	at = step(p, at, 11, 0x10);
	at = step(p, at, 11, 0x10);
	at = step(p, at, -9, 0x20);
	p[at++] = 0;
	inl = (uint32_t)at - PCS;
	at = step(p, at, 0, 0x10); /* stays -1: not inlined */
	at = step(p, at, 1, 0x10);
	at = step(p, at, -1, 0x20);
	p[at++] = 0;
	sp2 = (uint32_t)at - PCS;
	at = step(p, at, 1, 0x20);
	p[at++] = 0;
	file2 = (uint32_t)at - PCS;
	at = step(p, at, 2, 0x20);
	p[at++] = 0;
	line2 = (uint32_t)at - PCS;
	at = step(p, at, 31, 0x20);
	p[at++] = 0;

	put32(p, FUNCS, 0);
	put32(p, FUNCS + 4, REC1);
	put32(p, FUNCS + 8, 0x40);
	put32(p, FUNCS + 12, REC2);
	put32(p, FUNCS + 16, 0x60);
	put_func(p, REC1, 0, 0, sp, file, line, 9, 3, 4);
	put32(p, FUNCS + REC1 + 44 + 8, inl); /* pcdata[2] */
	for (int i = 0; i < 3; i++)
		put32(p, FUNCS + REC1 + 44 + 12 + (size_t)i * 4, UINT32_MAX);
	put32(p, FUNCS + REC1 + 44 + 12 + 12, 16); /* funcdata[3] */
	put_func(p, REC2, 0x40, 11, sp2, file2, line2, 29, 0, 0);
	im->len = FUNCS + REC2 + 44;
	/* inline tree at go.func.*+16: main.inner, called at main.outer+4 */
	put32(im->gofunc, 16 + 4, 22);
	put32(im->gofunc, 16 + 8, 0x8);
	put32(im->gofunc, 16 + 12, 20);
}

#endif
