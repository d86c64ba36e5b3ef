/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * webfile.h - the files of pages that are in the binary: tools/web/static as it is, and the scripts
 * and styles that tools/web/build.mjs bundles with what they use from npm. A build without npm has
 * only the former.
 */
#ifndef CORE_WEBFILE_H
#define CORE_WEBFILE_H

#include <stddef.h>
#include <stdio.h>

struct webfile {
	const char *name;	   /* without folders */
	const unsigned char *data; /* a NUL follows that len does not count */
	size_t len;
};

/* NULL: there is none of that name. */
const struct webfile *webfile__find(const char *name);
/* Writes it to f. 0, or -EOPNOTSUPP, logged: this build has no such file. */
int webfile__put(FILE *f, const char *name);

/* The table, made by tools/web/embed.sh; the last entry has no name. */
extern const struct webfile webfile_table[];

#endif
