/* SPDX-License-Identifier: GPL-2.0-or-later */
/* textstore.h - texts at addresses that stay while more are added: pointers to them may be kept. */
#ifndef CORE_TEXTSTORE_H
#define CORE_TEXTSTORE_H

#include <stddef.h>

struct text_chunk;

/* Zeroed: empty. */
struct textstore {
	struct text_chunk *chunks;
};

/* A copy of len bytes, ended by NUL, valid until textstore__fini; NULL: out of memory. */
const char *textstore__add(struct textstore *s, const char *text, size_t len);
void textstore__fini(struct textstore *s);

#endif
