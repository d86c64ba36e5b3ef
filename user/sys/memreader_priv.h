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
 * memory of one thread, its socket, the image, the process and its meter. */
struct memreader_order {
	int32_t tid; /* 0: of any */
};

/* The first says its PID at once, then 0 or -errno to each of these, and what that has taken. */
struct memreader_request {
	int32_t tid;
	uint32_t n;
};
struct memreader_reply {
	int32_t result;
	uint32_t pad;
	uint64_t cpu_ns;
};

/* The other's first word is 0 and brings its room, then an int32_t, bytes or -errno, answers each
 * of these. */
struct memreader_question {
	uint64_t addr;
	uint32_t len, at; /* in the room */
};

/* Shared with who has asked for the reader, and not with the helper. */
struct memreader_meter {
	uint64_t cpu_ns;
	int32_t pid;
};

/* To the process that forks readers; -1: there is none. */
int memreader__control(void);

/* Serves until the other side is gone. */
_Noreturn void memreader__serve(int control);

#endif
