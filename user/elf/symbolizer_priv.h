/* SPDX-License-Identifier: GPL-2.0-or-later */
/* symbolizer_priv.h - what the files of the symbolizer share among themselves. */
#ifndef ELF_SYMBOLIZER_PRIV_H
#define ELF_SYMBOLIZER_PRIV_H

#include "elf/symbolizer.h"

/* The pool's copy of text; NULL if it is full (counted). */
const char *symbolizer__intern(struct symbolizer *s, const char *text);
/* The processes known to the symbolizer (jit.c's list, owned by it). */
struct symbolizer_jit **symbolizer__jits(struct symbolizer *s);

#endif
