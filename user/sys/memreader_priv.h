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

/* An order for a reader brings its socket and its room. It says its PID first, then an int32_t, 0
 * or -errno, to each of these. */
struct memreader_request {
	int32_t tid;
	uint32_t n;
};

/* Serves until the other side is gone. */
_Noreturn void memreader__serve(int control);

#endif
