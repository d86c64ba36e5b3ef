/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader_priv.h - what the two sides of memreader.c say to each other. */
#ifndef SYS_MEMREADER_PRIV_H
#define SYS_MEMREADER_PRIV_H

#include "sys/memreader.h"

/* Shared with one reader, and with no other: one that was left behind may still write there. */
struct memreader_room {
	struct memreader_part parts[MEMREADER_PARTS];
	char data[MEMREADER_BYTES];
};

/* An order for a reader brings its socket and its room; for one that serves a helper, and reads the
 * memory of one thread, its socket, the image and the process. */
struct memreader_order {
	int32_t tid; /* 0: of any */
};

/* The first says its PID at once, then an int32_t, 0 or -errno, to each of these. */
struct memreader_request {
	int32_t tid;
	uint32_t n;
};

/* The other's, and its answer: bytes or -errno, which the bytes follow. */
struct memreader_question {
	uint64_t addr;
	uint32_t len, pad;
};

/* Serves until the other side is gone. */
_Noreturn void memreader__serve(int control);

#endif
