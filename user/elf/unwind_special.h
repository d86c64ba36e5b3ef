/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_special.h - functions whose callers no call frame information tells: start-up code, the
 * roots of goroutines, and the places where Go changes to another stack.
 */
#ifndef ELF_UNWIND_SPECIAL_H
#define ELF_UNWIND_SPECIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/elfobj.h"
#include "memwatch/unwind_row.h"

#define UNWIND_MAX_SPECIALS 16

/* A function that is unwound by a rule of its own, whatever its call frame information says. */
struct unwind_special {
	uint64_t vaddr, size;
	enum mw_unwind_special what;
	uint16_t more; /* of the row (memwatch/unwind_row.h) */
	bool only_gap; /* where there is call frame information, that counts */
};

/* Those of the file; how many. */
size_t unwind_special__find(struct elfobj *e, struct unwind_special ret[UNWIND_MAX_SPECIALS]);

/*
 * Where runtime.asmcgocall notes the goroutine and the depth of its stack while C runs, from the
 * instructions that it comes back by: words above the stack pointer, goroutine | depth << 8. False
 * if the code is another. Pure.
 */
bool unwind_special__go_call(const uint8_t *code, size_t len, uint16_t *ret);

/*
 * Where in a function that threads start in (musl's) the program's function returns to: bytes from
 * its beginning, 0 if this is no such function. Pure.
 */
size_t unwind_special__thread_start(const uint8_t *code, size_t len);

#endif
