/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proc_task.h - the rows of the task iterator, read from /proc: what works without BPF.
 *
 * Dearer (three files a process) and without interval peaks; the rest is the same.
 */
#ifndef SYS_PROC_TASK_H
#define SYS_PROC_TASK_H

#include <stdbool.h>
#include <sys/types.h>

#include "memwatch/mm.h"

/* One process. 0; -ESRCH when it is gone (also when it ended or was replaced while being read);
 * other negative errno. */
int proc_task__read(pid_t pid, struct mw_task_row *ret);

#define PROC_TASK_WHY 128
/* Has the process memory that can be looked at? 0, or with a sentence in why: -ESRCH: it is gone or
 * a zombie; -EOPNOTSUPP: a kernel thread, or only its main thread is gone, through which /proc
 * shows the memory; -EACCES: only CAP_SYS_PTRACE may look into it (its files and memory, even if
 * its mappings are shown, as they are to CAP_PERFMON). */
int proc_task__check(pid_t pid, char why[PROC_TASK_WHY]);

/* Calls fn for every process (kernel threads only if asked for), by PID. fn returns 0 to go on. */
int proc_task__each(bool kthreads, int (*fn)(void *arg, const struct mw_task_row *row), void *arg);

/* Start time of a process in ns of CLOCK_BOOTTIME, cut to clock ticks (10 ms), 0 if it is gone. */
__u64 proc_task__start_ns(pid_t pid);

#endif
