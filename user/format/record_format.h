/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record_format.h - what the writer and the reader of recordings share. */
#ifndef FORMAT_RECORD_FORMAT_H
#define FORMAT_RECORD_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/util.h"

#define RECORD_MAGIC_1 "MWREC1\n"      /* without sections */
#define RECORD_BLOCK_MAGIC 0x3162774dU /* "Mwb1" */
#define RECORD_MAX_BLOCK (1u << 30)

struct record_block { /* little-endian in the file, as on all machines that memwatch runs on */
	uint32_t magic, length, crc;
};
_Static_assert(sizeof(struct record_block) == 12, "no padding");

/* Behind the changes of a tick: {number, bytes, …}. Unknown numbers are skipped. */
enum record_section_id {
	RECORD_HISTS = 1, /* per stack: step, mask of changed buckets, the differences */
	RECORD_TOTAL,	  /* of the process: masks of changed cells, the differences */
	RECORD_AGES,	  /* the time; per stack: step, shift, mask, the differences */
	RECORD_SECTIONS
};

/* Signed to unsigned so that small magnitudes stay small. */
static inline uint64_t record__zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}
static inline int64_t record__unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* --- writing: bytes that grow; the first error stays --- */
struct record_bytes {
	uint8_t *data;
	size_t n, cap;
	int err;
};

static inline void record__put_raw(struct record_bytes *b, const void *data, size_t n)
{
	if (!b->err)
		b->err = array_reserve(b->data, b->cap, b->n + n);
	if (b->err)
		return;
	if (n)
		memcpy(b->data + b->n, data, n);
	b->n += n;
}

static inline void record__put(struct record_bytes *b, uint64_t v)
{
	uint8_t text[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		text[n++] = (uint8_t)v | 0x80;
	text[n++] = (uint8_t)v;
	record__put_raw(b, text, n);
}

static inline void record__put_signed(struct record_bytes *b, int64_t v)
{
	record__put(b, record__zigzag(v));
}

/* --- reading: nothing behind the end, nothing after the first error --- */
struct record_cursor {
	const uint8_t *at, *end;
	bool bad;
};

static inline uint64_t record__get(struct record_cursor *c)
{
	uint64_t v = 0;

	if (c->at < c->end && *c->at < 0x80) /* most are so short */
		return *c->at++;
	if (c->end - c->at >= 2 && c->at[1] < 0x80) {
		c->at += 2;
		return (c->at[-2] & 0x7f) | (uint64_t)c->at[-1] << 7;
	}
	for (int shift = 0; shift < 64; shift += 7) {
		uint8_t b;

		if (c->at >= c->end)
			break;
		b = *c->at++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return v;
	}
	c->bad = true;
	return 0;
}

static inline int64_t record__get_signed(struct record_cursor *c)
{
	return record__unzigzag(record__get(c));
}

/* A count of things that take at least one byte each. */
static inline uint64_t record__get_count(struct record_cursor *c)
{
	uint64_t n = record__get(c);

	if (n > (uint64_t)(c->end - c->at))
		c->bad = true;
	return c->bad ? 0 : n;
}

#endif
