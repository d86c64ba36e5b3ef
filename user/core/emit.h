/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emit.h - hostile names written straight to a stream, escaped as textbuf.h says, without memory.
 * A stream keeps its first failure itself: what writes to it goes on, and asks emit__end.
 */
#ifndef CORE_EMIT_H
#define CORE_EMIT_H

#include <stdio.h>

void emit__plain(FILE *f, const char *text);	 /* terminals, text files */
void emit__xml(FILE *f, const char *text);	 /* element text, attribute values */
void emit__json(FILE *f, const char *text);	 /* with its quotes; safe inside <script> */
void emit__json_text(FILE *f, const char *text); /* as textbuf__json_text */
void emit__dot(FILE *f, const char *text);	 /* with its quotes; '\n' becomes a line break */

/* All has been written, or could not be made (err): whether it has arrived. err, 0 or -errno. */
int emit__end(FILE *f, int err);

#endif
