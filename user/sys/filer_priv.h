/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filer_priv.h - what the two sides of filer.c say to each other. */
#ifndef SYS_FILER_PRIV_H
#define SYS_FILER_PRIV_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum filer_op {
	FILER_WRITE = 1,
	FILER_CHECK,
	FILER_PRUNE,
	FILER_CREATE,
	FILER_LOG,
};

/* With the socket for its news, and what is to be written: a file in memory or a socket. */
struct filer_order {
	uint32_t op;
	uint32_t streams; /* the path names a descriptor that memwatch was given */
	uint32_t max;	  /* of FILER_LOG: bytes of a line; each follows its length, an uint32_t
			   * of FILER_PRUNE: how many files stay */
	char path[PATH_MAX];
};

enum filer_what {
	FILER_STARTED = 1, /* value: the PID */
	FILER_MOVED,	   /* some of it is written */
	FILER_OPEN,	   /* of FILER_CREATE and FILER_LOG */
	FILER_ADDED,	   /* value: 0 or -errno, of one line of a log */
	FILER_DONE,	   /* value: 0 or -errno; the last news */
};

struct filer_news {
	int32_t what, value;
};

/* Serves orders until the other side is gone. */
_Noreturn void filer__serve(int control, bool goes_on);

#endif
