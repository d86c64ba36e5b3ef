/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gotext.h - a profile as text in the form of Go's net/http/pprof with ?debug=1: for people, and
 * for tools that read that form. Pure.
 */
#ifndef FORMAT_GOTEXT_H
#define FORMAT_GOTEXT_H

#include <stdio.h>

#include "model/profile.h"

/* A heap profile (the four heap types, or four in their order, whose names and units then stand in
 * the header): "inuse_objects: inuse_bytes [alloc_objects: alloc_bytes] @ addresses", the largest
 * first. Its rate is given as 1, since the numbers are estimates of everything already. 0, -ENOMEM
 * or -EIO. */
int gotext__heap(FILE *f, const struct profile *p);
/* A profile that counts: "goroutine profile: total N". 0, -ENOMEM or -EIO. */
int gotext__count(FILE *f, const struct profile *p, const char *name);

#endif
