/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record_format.h - what the writer and the reader of recordings share. */
#ifndef OUT_RECORD_FORMAT_H
#define OUT_RECORD_FORMAT_H

#include <stdint.h>

#define RECORD_BLOCK_MAGIC 0x3162774dU /* "Mwb1" */
#define RECORD_MAX_BLOCK (1u << 30)

struct record_block { /* little-endian in the file, as on all machines that memwatch runs on */
	uint32_t magic, length, crc;
};
_Static_assert(sizeof(struct record_block) == 12, "no padding");

/* Signed to unsigned so that small magnitudes stay small. */
static inline uint64_t record__zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}
static inline int64_t record__unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
