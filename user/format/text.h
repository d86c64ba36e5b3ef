/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.h - the plain formats: folded stacks, memwatch.profile/1 JSON, text for people. */
#ifndef FORMAT_TEXT_H
#define FORMAT_TEXT_H

#include "model/profile.h"

#include <stdio.h>

/*
 * One line per stack, root first, frames separated by ';', then a space and the value of sample
 * type `type`. Equal stacks are not merged (flamegraph tools do); stacks of value 0 are left out.
 */
int folded__write(FILE *f, const struct profile *p, int type);

/* The schema memwatch.profile/1. */
int json__write(FILE *f, const struct profile *p);

/* Reads memwatch.profile/1. Untrusted: -EBADMSG with a reason in *ret_why, -E2BIG. */
int json__read(const char *text, size_t len, struct profile **ret, const char **ret_why);

/* Header, top functions, top stacks, what was lost. */
int text__write(FILE *f, const struct profile *p, int type);

/* ", 12.00MB of it not resident" (or "all of it resident"), of a sample of a heap profile that
 * knows; else nothing. type: the sample type that is shown; only with bytes in use this has a
 * meaning. */
void text__not_resident(FILE *f, const struct profile *p, const struct profile_sample *s, int type);

/* "(57 more stacks, 1.20MB)": what a list of the largest so many stacks leaves out, which have
 * shown_value together; nothing where that is all. */
void text__more_stacks(FILE *f, const struct profile *p, int type, size_t shown,
		       int64_t shown_value);

/* Appends the name of one line of a location as people read it to an textbuf-like consumer:
 * function, else module+offset, else the address. Returns a malloc'ed text or NULL. */
char *text__frame_name(const struct profile *p, uint32_t location, size_t line);
/* Calls fn with the name of each frame of a sample, innermost first, inlined ones too, until it
 * returns other than 0; the name may be changed. 0, what fn returned, or -ENOMEM. */
int text__each_frame(const struct profile *p, const struct profile_sample *s,
		     int (*fn)(void *arg, uint32_t location, size_t line, char *name), void *arg);

#endif
