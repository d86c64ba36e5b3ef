/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * output.h - writes a profile to a named file; the name's ending picks the format.
 * How it is created: sys/outfile.h.
 */
#ifndef FORMAT_OUTPUT_H
#define FORMAT_OUTPUT_H

#include "model/profile.h"

#include <argp.h>
#include <stdio.h>

enum output_format {
	OUTPUT_PPROF,  /* .pb.gz */
	OUTPUT_FOLDED, /* .folded */
	OUTPUT_SVG,    /* .svg */
	OUTPUT_HTML,   /* .html */
	OUTPUT_JSON,   /* .json */
	OUTPUT_TEXT,   /* .txt */
};

/* True if the name's ending is one that output__write understands: check before measuring. */
bool output__known(const char *path);

/* ".pb.gz .folded …", for messages. */
const char *output__endings(void);

/*
 * Writes p to path. %p in the path becomes p->pid, %% a percent sign. 0, -EINVAL (ending), or a
 * negative errno of outfile__write (outfile__strerror says what it means), in which case no partial
 * file is left.
 * `type`: index of the sample type for formats that show one (folded, svg, txt); -1: the default.
 */
int output__write(const struct profile *p, const char *path);
int output__write_type(const struct profile *p, const char *path, int type);

/* The same to an open stream, for HTTP answers and stdout. */
int output__write_stream(const struct profile *p, FILE *f, enum output_format format, int type);

/* Expands %p and %%. The caller frees *ret. 0 or -ENOMEM. */
int output__expand(const char *path, uint32_t pid, char **ret);
/* Whether output__expand makes that name of the path for some PID. */
bool output__may_become(const char *path, const char *name);

/* Before anything is measured: what outfile__check says of the name that an option gave. Said if it
 * cannot be written; path: NULL is fine. 0 or -errno. */
int output__check(const char *option, const char *path);

/* --output-mode, a child of the options of every command that writes files. */
extern const struct argp output_mode_argp;

#endif
