/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inner.h - the code of a file that only its allocator runs: what the allocator's functions call
 * and jump to, as far as nothing else in the file does. Malloc often leaves by a jump at once, and
 * then no frame of its own tells who maps memory; these do.
 */
#ifndef ELF_INNER_H
#define ELF_INNER_H

#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"

#define INNER_MAX 512 /* ranges of one file */

struct inner_range {
	uint64_t off, end; /* file offsets */
};

/*
 * The code that only the functions at these addresses lead to, themselves included, ascending.
 * *ret is malloc'ed (NULL: none). x86-64 only: others have none. 0 or -ENOMEM.
 */
int inner__find(const struct elfobj *e, const uint64_t *funcs, size_t n, struct inner_range **ret,
		size_t *ret_n);

#endif
