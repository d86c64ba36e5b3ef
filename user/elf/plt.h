/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plt.h - which allocator functions a file reaches through its procedure linkage table.
 *
 * Inside a shared library even a call to one of its own functions goes through a stub, because
 * another module may have defined the name first (valloc → memalign, operator delete → free). Who
 * wants to know which functions of the family call each other has to look behind the stubs.
 */
#ifndef ELF_PLT_H
#define ELF_PLT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"
#include "memwatch/wire.h"

struct plt_entry {
	uint64_t slot;	/* vaddr of the pointer that the stub jumps through */
	uint64_t vaddr; /* of the function if this file defines it, else 0 */
	enum mw_fn fn;
	char name[40];
};

struct plt {
	struct plt_entry *entries; /* sorted by slot */
	size_t n;
	bool imports; /* the file refers to other files' allocators, or looks symbols up (dlsym) */
};

/* Reads the relocations; all: of every function, not only of the family (fn is MW_FN_NONE then). 0
 * or -ENOMEM; a malformed table counts as one without entries. */
int plt__load(struct elfobj *e, bool all, struct plt *ret);
void plt__free(struct plt *p);

/* The function to which the pointer at vaddr leads, NULL if it was not loaded. Borrowed likewise.
 */
const struct plt_entry *plt__slot(const struct plt *p, uint64_t vaddr);

/* What the code at vaddr leads to if it is a stub (x86-64) for a function that was loaded, else
 * NULL. Borrowed until plt__free. */
const struct plt_entry *plt__resolve(const struct plt *p, const struct elfobj *e, uint64_t vaddr);

#endif
