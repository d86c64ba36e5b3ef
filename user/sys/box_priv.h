/* SPDX-License-Identifier: GPL-2.0-or-later */
/* box_priv.h - what goes over the sockets between box.c, the starter and the helpers. */
#ifndef SYS_BOX_PRIV_H
#define SYS_BOX_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "sys/box.h"
#include "sys/fdmsg.h"

#define BOX_ARGUMENT "--memwatch-box" /* the first argument of the starter; its socket is 0 */

/* To the starter. START brings the helper's socket along. */
enum { BOX_START = 1, BOX_KILL };
struct box_order {
	uint32_t op, id;
	uint32_t service, cpu_seconds;
	uint64_t memory_bytes;
};

/* From the starter: a helper has started (pid) or ended (status, as waitpid gives it). */
enum { BOX_STARTED = 1, BOX_ENDED, BOX_READY };
struct box_news {
	uint32_t what, id;
	int32_t pid, status;
	uint64_t cpu_ns, peak_bytes;
};

/* Head of requests and answers; len bytes follow in the same message. */
struct box_head {
	uint32_t op;	/* of a request */
	int32_t result; /* of an answer */
	uint32_t len, more;
};

#endif
