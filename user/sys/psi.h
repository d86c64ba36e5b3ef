/* SPDX-License-Identifier: GPL-2.0-or-later */
/* psi.h - pressure stall information (/proc/pressure/memory, a cgroup's memory.pressure). Pure
 * parser, no allocation. */
#ifndef SYS_PSI_H
#define SYS_PSI_H

#include <stdbool.h>
#include <stdint.h>

struct psi_line {
	double avg10, avg60, avg300; /* percent of the time */
	uint64_t total_us;
};

struct psi {
	bool valid;
	struct psi_line some, full;
};

/* Parses the file's text. 0 or -EBADMSG (*ret is then not valid). */
int psi__parse(const char *text, struct psi *ret);

/* Reads from an open descriptor, from its start. 0 or -errno. */
int psi__read(int fd, struct psi *ret);

/* The machine's file: a descriptor or -errno. It may be there and refuse to be read (psi=0). */
int psi__open_machine(void);
/* Opens it, reads it and closes it. 0 or -errno. */
int psi__machine(struct psi *ret);

#endif
