/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_code.h - the unwind rules of code without call frame information, by what its instructions
 * do to the stack and the frame pointer (x86-64): C libraries such as musl's, and assembly.
 *
 * Functions are followed from where they are known to begin, from where code that is reached calls
 * to, and from where it takes addresses of aligned code that nothing else leads to, over their
 * branches and the tables of their switches. Where ways meet with different stacks, and behind what
 * nobody can tell (a stack pointer from memory), there is no rule. What lies behind a call that
 * does not return is followed into the next function, which has its own beginning. Code whose
 * functions make frames (V8's, compiled ahead) is left to frame pointers, which are right there at
 * once, where half a million instructions take a second. Pure. Hostile bytes cost rows and time:
 * for helpers with a limit.
 */
#ifndef ELF_UNWIND_CODE_H
#define ELF_UNWIND_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "memwatch/unwind_row.h"

#define UNWIND_CODE_MAX (4u << 20) /* bytes at a time */

struct unwind_code {
	const uint8_t *bytes;
	size_t len;
	uint64_t vaddr;
	/* Bytes of the file at a vaddr, for tables of switches; returns how many. NULL: no tables.
	 */
	size_t (*read)(void *arg, uint64_t vaddr, void *buf, size_t len);
	void *arg;
};

/*
 * Rows of the code; entries: where functions begin, any order, those elsewhere are left
 * out. *ret is malloc'ed, ascending; .off is from the beginning of the code, MW_UNWIND_END where
 * nothing is known; none of code that keeps frame pointers. 0, -E2BIG or -ENOMEM.
 */
int unwind_code__read(const struct unwind_code *code, const uint64_t *entries, size_t n_entries,
		      struct mw_unwind_row **ret, size_t *ret_n);

#endif
