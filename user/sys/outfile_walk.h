/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outfile_walk.h - the way to a file that is to be written, for outfile.c. */
#ifndef SYS_OUTFILE_WALK_H
#define SYS_OUTFILE_WALK_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

struct outfile_place {
	int dir;	/* O_PATH of the directory; -1: `fd` is what was named */
	int fd;		/* of what is there (O_PATH), or the descriptor named; -1: nothing */
	struct stat st; /* of fd */
	char name[NAME_MAX + 1]; /* in dir */
	bool is_private;	 /* nobody else can change a name on the way, nor in dir */
	bool keeps_ours;	 /* nor those of this user in dir, which others may add to */
	bool may_be_swapped;	 /* a directory of ours lies in one whose names others can change */
};

/*
 * Finds what `path` names, holding every directory on the way. Errors of the file system; -ELOOP:
 * a link that is not to be followed; -EISDIR; -EBADF: a descriptor that was not handed over;
 * -EREMOTE: it is in a file system that another user provides, or behind one.
 * outfile_place__close is due only after success.
 */
int outfile_place__find(const char *path, struct outfile_place *ret);

void outfile_place__close(struct outfile_place *p);

#endif
