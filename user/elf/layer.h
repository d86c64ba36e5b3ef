/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layer.h - files whose allocator lies over another file's: preloaded wrappers, a program's own
 * malloc over the C library's, operator new over malloc.
 *
 * What they ask of the allocator below while a call of theirs runs is no call of its own. To tell
 * it from what the program asks for itself, the probes need to know the layer's code: all of a
 * library that stands in for malloc, elsewhere the allocator functions and what they call. A static
 * program may have both: what --wrap makes, and the C library.
 */
#ifndef ELF_LAYER_H
#define ELF_LAYER_H

#include <capstone/capstone.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/allocs.h"
#include "elf/elfobj.h"

#define LAYER_RANGES 8

struct layer_range {
	uint64_t start, end; /* vaddr */
};

/* The layer's code, of a file that refers to other files' allocators and has these functions, or of
 * those that lie over other functions (below) of the file itself. Its ranges, 0 for the known
 * allocators, which look symbols up for other ends. cs decodes with details. */
size_t layer__code(struct elfobj *e, csh cs, const struct alloc_func *funcs, size_t n,
		   const struct alloc_func *below, size_t n_below,
		   struct layer_range ret[LAYER_RANGES]);

#endif
