/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_special.h - functions whose callers no call frame information tells: start-up code, the
 * roots of goroutines, and the places where Go changes to another stack.
 */
#ifndef ELF_UNWIND_SPECIAL_H
#define ELF_UNWIND_SPECIAL_H

#include "elf/elfobj.h"
#include "elf/unwind_table.h"

#define UNWIND_MAX_SPECIALS 16

/* Those of the file; how many. */
size_t unwind_special__find(struct elfobj *e, struct unwind_special ret[UNWIND_MAX_SPECIALS]);

/*
 * Where runtime.asmcgocall notes the goroutine and the depth of its stack while C runs, from the
 * instructions that it comes back by: words above the stack pointer, goroutine | depth << 8. False
 * if the code is another. Pure.
 */
bool unwind_special__go_call(const uint8_t *code, size_t len, uint16_t *ret);

#endif
