/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stub_code.h - the pieces of machine code from which stubs are put together (stub_code.c), and
 * the layout of the data that they work on.
 */
#ifndef FAST_STUB_CODE_H
#define FAST_STUB_CODE_H

#include <stdint.h>

/* Fields that are filled in when a piece is placed: 32-bit distances. */
#define HOLE_SLOTS 1
#define HOLE_FILTER 2
#define HOLE_BUCKETS 3
#define HOLE_GAPS 4
#define HOLE_RATE 5
#define HOLE_FULL 6
#define HOLE_PUT 7
#define HOLE_TAKE 8
#define HOLE_ODD 9     /* of no bytes, or of more than any allocator has */
#define HOLE_ORIG 10   /* the whole function */
#define HOLE_TARGET 11 /* the whole function that is called in the stead of one that throws */
#define HOLE_SLOW 12
#define HOLE_PASS 13 /* not counted */
#define HOLE_TRACKED 14
#define HOLES 15
#define MARK_ROW 32  /* + words: from here on the CFA is rsp + 8 * words */
#define MARK_SITE 64 /* + enum stub_site_kind */

#define SITE_ALLOC 0  /* r10: block, rdi: its size */
#define SITE_FREE 1   /* rdi: block */
#define SITE_UNFREE 2 /* rsi: block */

/* Data: offsets from its start. */
#define DATA_RATE 0
#define DATA_FULL 8   /* blocks not sampled: their bucket was full */
#define DATA_OWNER 16 /* PID of the memwatch that is at work here, when it began, and where */
#define DATA_GAPS 4096
#define DATA_SLOTS (DATA_GAPS + 4096)
#define DATA_FILTER (DATA_SLOTS + SLOTS_BYTES)
#define DATA_BUCKETS (DATA_FILTER + N_BUCKETS)
#define DATA_BYTES (DATA_BUCKETS + (2 << 20))
#define GAP_ONE (1 << 20) /* fixed point: one mean gap */
#define N_GAPS 1024
#define SLOT_BITS 13
#define N_SLOTS (1 << SLOT_BITS)
#define SLOTS_A_LINE 8
/* int64 countdowns; behind all those, for each line of them, uint64 state of the random numbers */
#define SLOTS_BYTES (N_SLOTS * 8 + N_SLOTS)
#define BUCKET_BITS 14
#define N_BUCKETS (1 << BUCKET_BITS)
#define BUCKET_PLACES 16

#ifndef __ASSEMBLER__
struct stub_mark {
	const uint8_t *at;
	uint32_t kind, pad;
};
extern const struct stub_mark mw_stub_marks[], mw_stub_marks_end[];

#define STUB_PIECES(X)   \
	X(slot)          \
	X(filter)        \
	X(filter_second) \
	X(refill) X(alloc) X(memalign) X(throwing) X(free) X(realloc) X(put) X(take)
#define STUB_PIECE_DECL(n) extern const uint8_t mw_stub_##n[], mw_stub_##n##_end[];
STUB_PIECES(STUB_PIECE_DECL)
#endif

#endif
