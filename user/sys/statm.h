/* SPDX-License-Identifier: GPL-2.0-or-later */
/* statm.h - VIRT and RSS of a process, the cheap way: /proc/PID/statm. */
#ifndef SYS_STATM_H
#define SYS_STATM_H

#include <stdint.h>
#include <sys/types.h>

struct statm {			    /* bytes */
	uint64_t virt, rss, shared; /* shared: of RSS, what is file or shared memory */
	uint64_t data;		    /* of VIRT, what is private and writable */
};

/* Allocates nothing. 0; -ESRCH: no such process, or one without memory of its own (a kernel thread,
 * one that has just ended); other negative errno. *ret is zeros on failure. */
int statm__read(pid_t pid, struct statm *ret);
/* The same of one thread, without a look for others where it has ended: -ESRCH. */
int statm__of_thread(pid_t pid, struct statm *ret);

#endif
