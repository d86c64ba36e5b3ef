/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay.h - what a process without privileges prints, passed on by the one that has the terminal:
 * to a terminal without what steers it. */
#ifndef SYS_RELAY_H
#define SYS_RELAY_H

#include <stdbool.h>

struct relay {
	int fd;		    /* to read from, does not block; -1: at its end */
	int to;		    /* a standard stream */
	bool terminal;	    /* `to` is one */
	unsigned char last; /* byte that was passed on */
};

/* *ret_end: what the other process writes to, close-on-exec. 0 or -errno. */
int relay__new(struct relay *r, int to, int *ret_end);
/* All that is there by now. */
void relay__pass(struct relay *r);
void relay__close(struct relay *r);

#endif
