/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exits.h - the return instructions by which a call of a function can end.
 *
 * For functions that throw (operator new): a return probe would stand on the stack as a return
 * address for which no unwind table exists, and the exception would end the program; and since
 * Linux 6.18 places such probes in every process that inherited the breakpoint, in forked children
 * too. Probes on the `ret` instructions themselves leave the stack alone.
 */
#ifndef ELF_EXITS_H
#define ELF_EXITS_H

#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"

#define EXITS_MAX 256

struct exits {
	uint64_t off[EXITS_MAX]; /* file offsets of the instructions */
	size_t n;
	/* Some way out was not found: an indirect jump, code that cannot be decoded, too many. Such
	 * a call is seen to begin and never to end. */
	int incomplete;
};

struct exits_function {
	uint64_t vaddr, size; /* size 0 if unknown */
};

/*
 * Finds the exits of n functions, each once, following direct jumps (through the linkage table
 * too) into other functions, whose extent is taken from the call frame information. 0 or -ENOMEM,
 * -EOPNOTSUPP (machine).
 */
int exits__find(struct elfobj *e, const struct exits_function *fn, size_t n, struct exits *ret);

#endif
