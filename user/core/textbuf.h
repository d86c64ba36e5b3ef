/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * textbuf.h - a growing text, and names from binaries made harmless for the format they are
 * written to. Symbol names, paths and command names are untrusted: they may hold terminal escapes,
 * markup, quotes, newlines and bytes that are no UTF-8.
 *
 * Every function appends. The first failure stays in `err` and what follows writes nothing, so
 * that a text is written in one go and asked once whether it is whole. The text is owned by the
 * caller, NUL-terminated once anything was appended, and freed by textbuf__free. emit.h writes
 * the same straight to a stream.
 */
#ifndef CORE_TEXTBUF_H
#define CORE_TEXTBUF_H

#include <stdbool.h>
#include <stddef.h>

struct textbuf {
	char *text;
	size_t len, cap;
	int err; /* 0 or -ENOMEM */
};

void textbuf__free(struct textbuf *b);
/* Empties it for the next text, keeping its memory. */
void textbuf__reset(struct textbuf *b);
/* Hands the text over and empties the buffer: 0 or what went wrong (nothing is handed over). */
int textbuf__take(struct textbuf *b, char **ret);

void textbuf__raw(struct textbuf *b, const char *text, size_t len);
void textbuf__str(struct textbuf *b, const char *text); /* as it is: not for untrusted text */
__attribute__((format(printf, 2, 3))) void textbuf__format(struct textbuf *b, const char *fmt, ...);

/* For terminals and text files: control characters (C0, DEL, C1), bidirectional overrides and
 * bytes that are no UTF-8 become \xNN; a character of `also` becomes '_' ("" for none). */
void textbuf__plain(struct textbuf *b, const char *text, const char *also);

/* A JSON string with its quotes; safe inside a <script> element too ('<' is \u003c). */
void textbuf__json(struct textbuf *b, const char *text);
/* Valid JSON that somebody else has written, as one line: its values, without anything that steers
 * a terminal or turns text around. */
void textbuf__json_text(struct textbuf *b, const char *text);

/* Text and attribute values of XML and HTML: & < > " ' as entities, the rest as textbuf__plain. */
void textbuf__xml(struct textbuf *b, const char *text);

/* Replaces bytes that are control characters, bidirectional overrides or no UTF-8 by '?', in place.
 * Returns text. */
char *textbuf__printable(char *text);

/* The number of bytes of the UTF-8 character at s, 0 if it is none (or over-long, a surrogate). */
size_t textbuf__utf8_len(const char *s);

/* Whether that character of n bytes steers the terminal or the direction of text, or shows nothing,
 * rather than show something. */
bool textbuf__is_control(const char *s, size_t n);

#endif
