/* SPDX-License-Identifier: GPL-2.0-or-later */
/* picture.h - the call graph as a file: DOT text, or drawn by graphviz. */
#ifndef REPORT_PICTURE_H
#define REPORT_PICTURE_H

#include "report/report.h"

#define PICTURE_ENDINGS ".dot .svg .png .pdf .ps .gif"
/* The format that a name's ending asks for: one of those without its point; NULL. */
const char *picture__format(const char *path);

/* Writes the graph in a format of those. 0 or as report__dot; -ENOPKG: graphviz's `dot` is not
 * installed; -EPROTO: it failed. */
int picture__write(FILE *f, struct report *r, const char *format);

/* Has graphviz draw the DOT text that is open as `from` into `to`. 0 or as above. */
int picture__run_dot(const char *format, int from, int to);

/* The same to a file, which appears whole or not at all. */
int picture__save(const char *path, struct report *r, const char *format);

const char *picture__strerror(int err);

#endif
