/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layer_priv.h - files whose allocator lies over another file's: preloaded wrappers, a program's own
 * malloc over the C library's, operator new over malloc.
 *
 * What they ask of the allocator below while a call of theirs runs is no call of its own. To tell
 * it from what the program asks for itself, the probes need to know the layer's code: all of a
 * library that stands in for malloc, elsewhere the allocator functions and what they call.
 */
#ifndef ELF_LAYER_PRIV_H
#define ELF_LAYER_PRIV_H

#include <capstone/capstone.h>
#include <stddef.h>

#include "elf/site.h"

/* Sets `layer` of all sites of a file that refers to other files' allocators; leaves it empty for
 * the known allocators, which look symbols up for other ends. cs decodes with details. */
void layer__note(struct elfobj *e, csh cs, struct site *sites, size_t n);

#endif
