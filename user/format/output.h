/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * output.h - writes a profile to a named file; the name's ending picks the format.
 *
 * A file appears whole or not at all: it is written beside under a temporary name and renamed.
 * What exists and is no regular file (a device, a pipe) is written directly.
 */
#ifndef FORMAT_OUTPUT_H
#define FORMAT_OUTPUT_H

#include "model/profile.h"

#include <stdio.h>

enum output_format {
	OUTPUT_PPROF,  /* .pb.gz */
	OUTPUT_FOLDED, /* .folded */
	OUTPUT_SVG,    /* .svg */
	OUTPUT_HTML,   /* .html */
	OUTPUT_JSON,   /* .json */
	OUTPUT_TEXT,   /* .txt */
};

/* The format of a name by its ending, or -EINVAL. */
int output__format(const char *path);

/* True if the name's ending is one that output__write understands: check before measuring. */
bool output__known(const char *path);

/* ".pb.gz .folded …", for messages. */
const char *output__endings(void);

/*
 * Writes p to path. %p in the path becomes p->pid, %% a percent sign. 0, -EINVAL (ending), or the
 * negative errno of the file system (-ENOSPC, -EACCES, …), in which case no partial file is left.
 * `type`: index of the sample type for formats that show one (folded, svg, txt); -1: the default.
 */
int output__write(const struct profile *p, const char *path);
int output__write_type(const struct profile *p, const char *path, int type);

/* The same to an open stream, for HTTP answers and stdout. */
int output__write_stream(const struct profile *p, FILE *f, enum output_format format, int type);

/* Expands %p and %%. The caller frees *ret. 0 or -ENOMEM. */
int output__expand(const char *path, uint32_t pid, char **ret);

/*
 * Any other writer with the same care (timelines, recordings): calls fn(f, arg) on a stream that
 * becomes `path` if fn returns 0 and everything reached the file system.
 */
int output__atomic(const char *path, int (*fn)(FILE *f, void *arg), void *arg);

#endif
