/* SPDX-License-Identifier: GPL-2.0-or-later */
/* strpool.h - strings stored once, at an address that stays until the pool is freed. */
#ifndef ELF_STRPOOL_H
#define ELF_STRPOOL_H

#include <stddef.h>

struct strpool;

/* max_bytes: text beyond it is refused, so that hostile names cannot take all memory. */
int strpool__new(size_t max_bytes, struct strpool **ret);
void strpool__free(struct strpool *p);
/* The pool's copy of text; NULL if text is NULL, the pool is full or memory is out. */
const char *strpool__add(struct strpool *p, const char *text);
size_t strpool__bytes(const struct strpool *p);
size_t strpool__refused(const struct strpool *p); /* strings that did not fit */

#endif
