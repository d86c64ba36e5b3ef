/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symtab.h - the code symbols of one or more ELF files with the same addresses, sorted.
 *
 * Of several names for one address the one that people expect is first: functions before labels,
 * names without leading underscores before reserved ones (malloc, not __libc_malloc; write, not
 * __write), then global before weak before local, then the shorter one.
 */
#ifndef ELF_SYMTAB_H
#define ELF_SYMTAB_H

#include "elf/elfobj.h"

struct symtab_symbol {
	uint64_t start, end;
	const char *name; /* borrowed from the elfobj, or owned by the table (PLT stubs) */
	uint8_t rank;	  /* smaller is better, see above */
};

struct symtab {
	struct symtab_symbol *syms; /* by start, then by preference */
	size_t n, cap;
	uint64_t *max_end; /* of syms[0..i] */
	char **owned;
	size_t nowned, owned_cap;
};

/*
 * Adds the symbols of `e`; only those inside executable segments of `exec` (the file that runs;
 * the two differ for debug files). symtab__sort comes after the last. 0, -ENOMEM, -E2BIG (more
 * than 8 million), -EBADMSG (a malformed table; what could be read is in).
 */
int symtab__add(struct symtab *t, const struct elfobj *e, const struct elfobj *exec);
/* Adds "name@plt" for the stubs of the procedure linkage table of `e` (x86-64). */
int symtab__add_plt(struct symtab *t, const struct elfobj *e);
int symtab__sort(struct symtab *t);
void symtab__clear(struct symtab *t);

/* The innermost symbol that covers vaddr, its best name first; NULL if there is none. */
const struct symtab_symbol *symtab__find(const struct symtab *t, uint64_t vaddr);
/* Whether `name` is one of the names at the symbol's address. */
bool symtab__has_alias(const struct symtab *t, const struct symtab_symbol *s, const char *name);

#endif
