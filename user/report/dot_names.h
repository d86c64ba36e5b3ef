/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dot_names.h - names in graphviz's language: escaped, and for boxes shortened and broken. */
#ifndef REPORT_DOT_NAMES_H
#define REPORT_DOT_NAMES_H

#include "report/graph.h"

#include <stdio.h>

struct shortener;

int dot_names__new(struct shortener **ret); /* 0 or -ENOMEM */
void dot_names__free(struct shortener *s);  /* NULL is fine */

/* Inside of a quoted string: harmless, with quotes and backslashes escaped; a line break is "\l".
 */
void dot_names__escaped(FILE *f, const char *text);
/* The same, with another text for a line break. */
void dot_names__lines(FILE *f, const char *text, const char *line_break);

/*
 * A node's name as pprof puts it into a box, each part a line: packages of Go and Java and
 * namespaces of C++ are left out, what is left is broken at '.' and "::". 0 or -ENOMEM.
 */
int dot_names__label(FILE *f, struct shortener *s, const struct graph *g, uint32_t node);

#endif
