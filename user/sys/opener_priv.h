/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opener_priv.h - what the two sides of opener.c say to each other. */
#ifndef SYS_OPENER_PRIV_H
#define SYS_OPENER_PRIV_H

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>

#define OPENER_MESSAGE (100u << 10) /* bytes after a request: more than a helper takes */

enum opener_op {
	OPENER_OPEN = 1, /* a path follows; below the descriptor that came along, if one did */
	OPENER_STAT,	 /* a path follows */
	OPENER_REOPEN,	 /* the descriptor that came along, which has only seen its file */
	OPENER_SEND,	 /* what is to be sent follows; to the first descriptor, with the others */
};

struct opener_request {
	uint32_t op, len;
	uint32_t nofollow, has_owner, or_readable_root, uid; /* as safeopen__below takes them */
};

/* A descriptor comes along with those of OPENER_OPEN and OPENER_REOPEN. The first word of each is
 * its PID. */
struct opener_answer {
	int32_t result; /* 0 or -errno */
	int32_t is_overlay;
	uint64_t cpu_ns; /* that it took */
	struct stat st;
};

/* Serves until the other side is gone. */
_Noreturn void opener__serve(int control);

#endif
