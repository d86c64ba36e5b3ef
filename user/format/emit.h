/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emit.h - hostile names written straight to a stream, escaped as escape.h says. Running out of
 * memory for a name writes an empty one: the picture stays well-formed.
 */
#ifndef FORMAT_EMIT_H
#define FORMAT_EMIT_H

#include <stdio.h>

void emit__xml(FILE *f, const char *text);  /* element text, attribute values */
void emit__json(FILE *f, const char *text); /* with its quotes; safe inside <script> */
void emit__dot(FILE *f, const char *text);  /* with its quotes; '\n' becomes a line break */

#endif
