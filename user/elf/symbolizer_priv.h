/* SPDX-License-Identifier: GPL-2.0-or-later */
/* symbolizer_priv.h - what the files of the symbolizer share among themselves. */
#ifndef ELF_SYMBOLIZER_PRIV_H
#define ELF_SYMBOLIZER_PRIV_H

#include "elf/symbolizer.h"

/* The processes known to the symbolizer (jit.c's list, owned by it). */
struct symbolizer_jit **symbolizer__jits(struct symbolizer *s);
/* The memory of this one and those behind it on the list. */
size_t symbolizer_jit__bytes(const struct symbolizer_jit *j);

#endif
