/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pidref.h - one process and no other: a PID that is given again after its end is never meant.
 * Signals and nice values go through it; they need PRIVILEGE_SIGNAL and PRIVILEGE_NICE for
 * processes of others.
 */
#ifndef SYS_PIDREF_H
#define SYS_PIDREF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pidref {
	pid_t pid;
	int fd; /* pidfd; -1: none */
};

#define PIDREF_NONE ((struct pidref){.fd = -1})

/* A descriptor of who has the PID now (pidfd), readable from its end on. -ESRCH: nobody; -ENOSYS
 * before Linux 5.3; other -errno. */
int pidref__fd(pid_t pid);

/* start_ns: CLOCK_BOOTTIME, as in mw_task_row; 0: whoever has the PID now. 0; -ESRCH: that process
 * has ended; other -errno. */
int pidref__open(pid_t pid, uint64_t start_ns, struct pidref *ret);
/* Has it not ended? Then what was opened by its number since pidref__open is its own. */
bool pidref__is_there(const struct pidref *p);
void pidref__close(struct pidref *p); /* of none: nothing */

/* 0; -ESRCH: it has ended; -EPERM. Signal 0 only looks. */
int pidref__signal(const struct pidref *p, int sig);
/* The nice value of the process's main thread. 0 or -ESRCH. */
int pidref__nice(const struct pidref *p, int *ret);
/* Gives it to all threads. 0; -ESRCH; -EPERM, -EACCES: lower than may be given. */
int pidref__renice(const struct pidref *p, int nice);

#endif
