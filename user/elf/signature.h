/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signature.h - does a function's code speak against the signature that its name suggests?
 *
 * pool_malloc(pool, size) ends like malloc(size). Taken for it, a pointer would count as a size.
 * The code tells: a size is not looked through as a pointer, and what a function passes on to a
 * known allocator as the size is its own; and malloc has one argument. Arguments are followed along
 * the function's code, through copies in registers and on the stack.
 */
#ifndef ELF_SIGNATURE_H
#define ELF_SIGNATURE_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/allocs.h"

/* What a call or jump leads to, MW_FN_NONE if to no known allocator. */
typedef enum mw_fn (*signature_callee_fn)(void *arg, const cs_insn *branch);

/* insn[0..n): the function's code, decoded with details. */
bool signature__contradicted(csh cs, const cs_insn *insn, size_t n, enum mw_fn fn,
			     signature_callee_fn callee, void *arg);

/* Does a function that is named after malloc or calloc use an argument behind theirs? */
bool signature__uses_more(csh cs, const cs_insn *insn, size_t n, enum mw_fn fn);

#endif
