/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fast_look.h - what fast mode would do in a process, without touching anything. */
#ifndef OBSERVE_FAST_LOOK_H
#define OBSERVE_FAST_LOOK_H

#include "fast/fast_plan.h"
#include "observe/module.h"
#include "sys/procmap.h"

/*
 * The plan for the allocator of a module that the process with this memory maps by e; its file is
 * read by a helper. plan->why, or
 * *why, says why there is none. 0 with a plan to __fini, or -errno with why (-ESRCH: the image is
 * gone). *ret_bias: address of vaddr 0.
 */
int fast_look__plan(pid_t pid, struct procmem *mem, const struct module *m,
		    const struct procmap_entry *e, struct fast_plan *plan, uint64_t *ret_bias,
		    char why[FAST_WHY]);

/*
 * Calls fn for every module of the process with allocator functions; plan NULL: there can be none,
 * and why says why not. 0 or -errno.
 */
int fast_look__each(int pid,
		    void (*fn)(void *arg, const struct module *m, const struct fast_plan *plan,
			       const char *why),
		    void *arg);

#endif
