/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mountinfo.h - what is mounted where: /proc/self/mountinfo. */
#ifndef SYS_MOUNTINFO_H
#define SYS_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

struct mountinfo {	     /* borrowed from the line; as the kernel escapes them */
	const char *point;   /* where it is mounted */
	const char *type;    /* of the file system */
	const char *options; /* of the file system */
	dev_t dev;
};

/* The file: a descriptor or -errno. */
int mountinfo__open(void);
/* The whole of it, owned by the caller. 0 or -errno. */
int mountinfo__text(char **ret);
/* Takes a line (without its end) apart in place. False: it is none. Pure. */
bool mountinfo__parse(char *line, struct mountinfo *ret);

#endif
