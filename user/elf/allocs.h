/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * allocs.h - the allocators in an ELF file, found by their symbols.
 *
 * Knows the C family, C++ operator new and delete, and the prefixed forms of the allocators in
 * use (memwatch/allocators.h), where the file has both ways, to allocate and to free, or a name
 * that proves it to be that allocator; any other prefix counts when the file defines the whole
 * family with it and their code does not speak against it (elf/signature.h). The C++ runtime's
 * operator new and delete are taken only where the file has an allocator of its own beneath them:
 * elsewhere (libstdc++) they call malloc, which is seen anyway.
 */
#ifndef ELF_ALLOCS_H
#define ELF_ALLOCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"
#include "memwatch/wire.h"

#define ALLOCS_MAX 1024 /* functions of one file */

/* A row of MW_SIGNATURES: numbers of arguments from 1, 0: none. */
struct signature {
	enum mw_does does;
	uint8_t size, times, old, out;
};

struct alloc_func {
	char name[64];
	enum mw_fn fn;
	uint64_t vaddr, size; /* size 0 if the symbol has none */
};

/*
 * Finds the functions to probe, sorted by address, one per address. *ret is malloc'ed (NULL if
 * there are none). 0, -E2BIG (more than ALLOCS_MAX), -EBADMSG (malformed symbol table; what was
 * found before is in *ret), other negative errno.
 */
int allocs__find(const struct elfobj *e, struct alloc_func **ret, size_t *ret_n);

/* How the name of a known allocator's library begins, where the path is of one; NULL: of none. */
const char *allocs__library(const char *path);
/* Has the file a name that proves it to be one of the known allocators itself, or to hold one? */
bool allocs__is_allocator(const struct elfobj *e);
/* Is the prefix of this length before a standard name that of a known allocator? */
bool allocs__prefix_known(const char *name, size_t len);
/* Is it, in a file that holds a known allocator, the name of a function of that allocator's? */
bool allocs__names_own(const char *name);
/* Length of the prefix before a standard name, 0 where the name alone is proof: no prefix, the C
 * library's own, and names that only one allocator has. */
size_t allocs__prefix(const char *name);
/* What a call of fn does and where its arguments are. */
const struct signature *allocs__signature(enum mw_fn fn);
/* The arguments that are looked at: bit N for argument N. */
unsigned int signature__args(const struct signature *s);

/* What a symbol name stands for; MW_FN_NONE if it is no allocator function. */
enum mw_fn allocs__classify(const char *name);

#endif
