/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rotated.h - the older files of a log that logrotate and its like have moved aside. */
#ifndef OOM_ROTATED_H
#define OOM_ROTATED_H

#include <stddef.h>

#define ROTATED_MAX 8 /* the newest of them */

struct rotated {
	char *path[ROTATED_MAX]; /* oldest first */
	size_t n;
};

/* Regular files beside `path` whose name is its name and then "." or "-" and a digit: oom.jsonl.1,
 * oom.jsonl.2.gz, oom.jsonl-20261125. 0 or -errno. */
int rotated__list(const char *path, struct rotated *ret);
void rotated__free(struct rotated *r);

#endif
