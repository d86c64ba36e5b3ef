/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources.h - the source files that a profile names, as far as they are on this machine. */
#ifndef REPORT_SOURCES_H
#define REPORT_SOURCES_H

#include <stddef.h>
#include <stdint.h>

struct source_text {
	const char *file; /* borrowed */
	char *text;
	size_t *at; /* line n (from 1) is the string text + at[n - 1] */
	size_t n, cap;
	char *why; /* it could not be read */
};

struct sources { /* each file is read once */
	char *dirs;
	const char *trim;
	struct source_text *s;
	size_t n, cap;
};

/*
 * dirs: ':'-separated, where relative names are looked for, in their parents as well; NULL: the
 * current directory. trim: prefixes to cut from names; NULL; borrowed. 0, -ENOMEM.
 */
int sources__init(struct sources *c, const char *dirs, const char *trim);
void sources__fini(struct sources *c);
/* The file as it was read before, NULL: it was not. */
const struct source_text *sources__known(const struct sources *c, const char *file);
/* 0, also where the file could not be read; -ENOMEM. *ret holds until the next call; the name is
 * borrowed. */
int sources__read(struct sources *c, const char *file, const struct source_text **ret);
/* From 1; NULL: there is no such line. */
const char *sources__line(const struct source_text *s, int64_t line);

#endif
