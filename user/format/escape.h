/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * escape.h - names from binaries made harmless for the format they are written to. Symbol names,
 * paths and command names are untrusted: they may hold terminal escapes, markup, quotes, newlines
 * and bytes that are no UTF-8. Every function appends to a growing buffer (owned by the caller,
 * NUL-terminated, to be freed with free()) and returns 0 or -ENOMEM.
 */
#ifndef FORMAT_ESCAPE_H
#define FORMAT_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

struct escape_buf {
	char *text;
	size_t len, cap;
};

void escape__free(struct escape_buf *b);
int escape__raw(struct escape_buf *b, const char *text, size_t len);
/* As printf, at most 511 bytes; not for text that is untrusted. */
__attribute__((format(printf, 2, 3))) int escape__format(struct escape_buf *b, const char *fmt,
							 ...);

/* For terminals and text files: control characters (C0, DEL, C1), bidirectional overrides and
 * bytes that are no UTF-8 become \xNN; a character of `also` becomes '_' ("" for none). */
int escape__plain(struct escape_buf *b, const char *text, const char *also);

/* The same straight to a stream: 0 or -ENOMEM; errors of f are the caller's to ask for. */
int escape__put_plain(FILE *f, const char *text);

/* A JSON string with its quotes; safe inside a <script> element too ('<' is \u003c). */
int escape__json(struct escape_buf *b, const char *text);

/* Text and attribute values of XML and HTML: & < > " ' as entities, the rest as escape__plain. */
int escape__xml(struct escape_buf *b, const char *text);

/* The number of bytes of the UTF-8 character at s, 0 if it is none (or over-long, a surrogate). */
size_t escape__utf8_len(const char *s);

#endif
