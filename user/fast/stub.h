/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stub.h - puts the stubs of one allocator together: an image of code for a given address, its
 * probe sites, and how far the stack pointer is from the caller's frame everywhere in it. Pure.
 *
 * Layout in the target: `code_bytes` of code (a header of struct stub_header first), read-only and
 * from a file, so that uprobes can be put on it; behind it DATA_BYTES of private memory.
 */
#ifndef FAST_STUB_H
#define FAST_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fast/entry.h"
#include "fast/stub_code.h"
#include "memwatch/wire.h"

#define STUB_MAX_FUNCS 96
#define STUB_MAX_SITES (STUB_MAX_FUNCS * 3)
#define STUB_MAX_ROWS (STUB_MAX_FUNCS * 32)
#define STUB_MAGIC 0x31747361666d776dULL /* "mwmfast1" */

struct stub_func {
	struct entry entry;
	enum mw_fn fn;
	bool null_goes_on;	/* realloc(NULL, n) is left to malloc's stub */
	uint32_t align_goes_on; /* so is an alignment up to this; 0: none */
	int target;   /* throwing: the function that is called instead, an index; else -1 */
	bool aligned; /* throwing: (size, alignment), the target takes (alignment, size) */
};

struct stub_site {
	uint32_t off; /* of the code */
	uint16_t func;
	uint8_t kind; /* SITE_* */
};

struct stub_row {
	uint32_t off;
	uint32_t words; /* CFA = rsp + 8 * words, from here on */
};

/* What was and what is written at each entry: enough to take it back without anything else. */
struct stub_patch {
	uint64_t addr;
	uint8_t was[ENTRY_PATCH], is[ENTRY_PATCH];
	uint8_t len; /* of the instructions overwritten, whole */
	uint8_t pad[5];
};

struct stub_header {
	uint64_t magic;
	uint64_t base; /* where the image was made for */
	uint32_t code_bytes, data_bytes;
	uint32_t n, n_sites;
	struct stub_patch patch[STUB_MAX_FUNCS];
};

struct stub_image {
	struct stub_header hdr; /* as it stands at the start of the code */
	uint8_t *code;		/* hdr.code_bytes */
	struct stub_site sites[STUB_MAX_SITES];
	struct stub_row rows[STUB_MAX_ROWS]; /* ascending */
	size_t n_sites, n_rows;
};

/* Does the function's first instruction run once more in the stub, which changed what it set? */
bool stub_func__repeats(const struct stub_func *func);

/* Bytes of code that n functions need at most, whole pages. */
size_t stub__code_bytes(size_t n);

/* 0; -ERANGE: a function is out of reach of base; -E2BIG. image->code is malloc'ed. */
int stub__build(const struct stub_func *funcs, size_t n, uint64_t base, struct stub_image *image);
void stub_image__fini(struct stub_image *image);

/* The data as it is when sampling begins: rate, gaps, slots (the first DATA_FILTER bytes). */
void stub__data(uint8_t *data, uint64_t rate, uint64_t seed);
/*
 * Slots (SLOTS_BYTES) at a rate, each with a gap just drawn. The exponential distribution
 * has no memory: a gap that is replaced by a fresh one at any moment, whatever was left of it,
 * leaves the samples that follow as likely as they must be.
 */
void stub__slots(uint8_t *slots, uint64_t rate, uint64_t seed);

#endif
