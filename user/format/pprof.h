/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pprof.h - struct profile to and from gzipped profile.proto files, with the conventions that
 * `go tool pprof` and profile stores expect of a heap profile: value order, mapping[0] the main
 * executable, the numeric label "bytes", drop_frames for allocator frames.
 *
 * What memwatch knows besides (pid, command, totals, loss) travels in one comment that begins
 * "#memwatch " (pprof hides comments that begin with '#') and is restored by the reader; loss is
 * also told in plain comments, which pprof prints in its headers.
 */
#ifndef FORMAT_PPROF_H
#define FORMAT_PPROF_H

#include "model/profile.h"

#include <stdbool.h>
#include <stdio.h>

/* Writes the gzipped form. 0 or a negative errno (-EIO and friends for f). f is not closed. */
int pprof__write(FILE *f, const struct profile *p);

/* A comment that is made anew by each writer, from what was read of it. */
bool pprof__is_private(const char *comment);

/*
 * Reads the profile in buf[0..len), gzipped or not. The input is untrusted: what is malformed is
 * -EBADMSG with a reason in *ret_why (a static text; may be NULL), what exceeds a cap -E2BIG.
 */
int pprof__read(const void *buf, size_t len, struct profile **ret, const char **ret_why);

#endif
