/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dwarfbox_priv.h - what goes over the socket between the two sides of the box. A request is one
 * box_request; file descriptors ride along with OPEN. LOOKUP gets an answer for each of its n
 * addresses: a box_answer, then `result` times box_frame, each followed by its strings. OPEN and
 * FORGET have no answer.
 */
#ifndef ELF_DWARFBOX_PRIV_H
#define ELF_DWARFBOX_PRIV_H

#include <stddef.h>
#include <stdint.h>

#define BOX_MAX_TEXT 4096 /* of one string; longer ones are cut */
#define BOX_MAX_FRAMES 32
#define BOX_MAX_ANSWER (BOX_MAX_FRAMES * (3 * (BOX_MAX_TEXT + 1) + 64))
#define BOX_BATCH 256
#define BOX_CPU_SECONDS 1 /* for one address */

enum box_op { BOX_OPEN = 1, BOX_FORGET, BOX_LOOKUP };

struct box_request {
	uint32_t op, id;
	uint64_t n; /* of vaddrs that follow */
	uint64_t vaddr[BOX_BATCH];
};

/* How much of a request is sent. */
#define BOX_REQUEST_LEN(n) (offsetof(struct box_request, vaddr) + (n) * sizeof(uint64_t))

struct box_answer {
	int32_t result; /* frames or negative errno */
	uint32_t len;
};

enum { BOX_INLINED = 1, BOX_PLAIN = 2 };

struct box_frame {
	uint32_t line, start_line;
	uint32_t flags;	 /* BOX_INLINED, BOX_PLAIN */
	uint32_t len[3]; /* name, file, dir: with the NUL; 0: none */
};

/* The other side: serves requests on sock until it is closed. Never returns. */
_Noreturn void dwarfbox__serve(int sock, size_t budget_bytes);

#endif
