/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fast_plan.h - what fast mode would do in one allocator of one process: all of its functions, or
 * nothing, with the reason. Reads the file, in a helper without privileges, and the memory; writes
 * nothing anywhere.
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
	bool hooked; /* gets a stub; else why says what becomes of it */
	const char *why;
};

struct fast_plan {
	struct plan_func *funcs;
	size_t n, hooked;
	char why[FAST_WHY]; /* one line: why nothing is done; "" if all is well */
	bool written;	    /* because somebody has written other code there */
	bool gone;	    /* because the image has ended: nothing to be told of */
	char *texts;	    /* of the functions' why, where a helper told; owned */
};

/*
 * What the file of one module says: its sites (elf/site.h), mapped with this bias (address = vaddr
 * + bias). For helpers: the file is the target's. 0 (also when plan->why says no) or -ENOMEM.
 */
int fast_plan__read(struct elfobj *e, const struct site *sites, size_t n, uint64_t bias,
		    struct fast_plan *plan);
/* The rest: mem, the process's memory, must not differ from the file where it would be written to.
 * 0 (also when plan->why says no); -ESRCH: the image is gone, by exec or by its end. */
int fast_plan__check(struct fast_plan *plan, struct procmem *mem);
void fast_plan__fini(struct fast_plan *plan);

/* What has become of the bytes that a file has: nothing, a tracer's probe, anything else. */
enum fast_change { FAST_SAME, FAST_PROBED, FAST_WRITTEN };
enum fast_change fast_plan__changed(const uint8_t *was, const uint8_t *now, size_t n);

/* What plan->funcs[i] is before anything is known of its code: its site. */
void fast_plan__begin(struct plan_func *f, const struct site *s);
/* Arguments of a function that its entry must not change, as entry__decode has it. */
unsigned int fast_plan__args(const struct site *s);

/* May this process be written to at all? tracer: a thread of memwatch that may trace it, or 0. If
 * not, why says it in one line. */
bool fast_plan__process(int pid, int tracer, char why[FAST_WHY]);

#endif
