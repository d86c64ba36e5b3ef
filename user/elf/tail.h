/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tail.h - functions without a name of their own that others go on to by a jump: how far their
 * code goes, and whether they belong to those others alone.
 */
#ifndef ELF_TAIL_H
#define ELF_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/elfobj.h"

/* Where the function ends that begins at start, by its frame description; 0: not known. */
uint64_t tail__end(struct elfobj *e, uint64_t start);
/* Do branches and addresses in the file's code lead to the beginning of [start, end) only from
 * places that theirs() knows, and from itself? What might be one counts as one. */
bool tail__is_theirs(const struct elfobj *e, uint64_t start, uint64_t end,
		     bool (*theirs)(void *arg, uint64_t from), void *arg);

#endif
