/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fast_plan.h - what fast mode would do in one allocator of one process: all of its functions, or
 * nothing, with the reason. Reads the file and the memory; writes nothing anywhere.
 */
#ifndef FAST_PLAN_H
#define FAST_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"
#include "elf/site.h"
#include "fast/stub.h"
#include "sys/procmem.h"

#define FAST_WHY 256

struct plan_func {
	const struct site *site; /* borrowed */
	struct stub_func stub;
	bool hooked;	/* gets a stub; else why says what becomes of it */
	const char *why;
};

struct fast_plan {
	struct plan_func *funcs;
	size_t n, hooked;
	char why[FAST_WHY]; /* one line: why nothing is done; "" if all is well */
};

/*
 * One module: its sites (elf/site.h), mapped with this bias (address = vaddr + bias). mem: the
 * process's memory, which must not differ from the file where it would be written to. 0 (also when
 * plan->why says no) or -ENOMEM.
 */
int fast_plan__make(struct elfobj *e, const struct site *sites, size_t n, uint64_t bias,
		    struct procmem *mem, struct fast_plan *plan);
void fast_plan__fini(struct fast_plan *plan);

/* May this process be written to at all? If not, why says it in one line. */
bool fast_plan__process(int pid, char why[FAST_WHY]);

#endif
