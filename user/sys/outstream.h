/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outstream.h - a file as of outfile__create that is written little by little, through the process
 * that writes files (filer.h) where there is one. */
#ifndef SYS_OUTSTREAM_H
#define SYS_OUTSTREAM_H

#include <stddef.h>

struct outstream;

/* A new empty file of that name. 0 or -errno as of outfile.h, as of the others too. */
int outstream__create(const char *path, struct outstream **ret);
int outstream__add(struct outstream *s, const void *data, size_t len);
/* All is on disk; what failed before is told again. Accepts NULL. */
int outstream__finish(struct outstream *s);

#endif
