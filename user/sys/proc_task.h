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
 * a zombie; -EOPNOTSUPP: a kernel thread; -EACCES: only CAP_SYS_PTRACE may look into it (its files
 * and memory, even if its mappings are shown, as they are to CAP_PERFMON). */
int proc_task__check(pid_t pid, char why[PROC_TASK_WHY]);

/* The process that a thread belongs to; tid itself if there is none such. */
pid_t proc_task__process(pid_t tid);

/*
 * The thread through which /proc shows a process's memory and files: its main thread, pid itself,
 * or, where that has ended before others, one of those. pid if there is none.
 */
pid_t proc_task__shows(pid_t pid);

/* The command name into buf, without the newline that the kernel puts behind it (it may hold
 * others); buf is not touched where it cannot be read. 0 or -errno. */
int proc_task__comm(pid_t pid, char *buf, size_t size);
/* 0 or -errno (-ESRCH: gone). This and proc_task__comm allocate nothing. */
int proc_task__oom_score_adj(pid_t pid, int *ret);

/* What one look at /proc/PID/stat tells. */
struct proc_identity {
	char comm[64]; /* kernel workers have longer names than 15 */
	pid_t ppid;
	bool kthread, ended; /* ended: a zombie, or without its main thread */
	bool sleeps;	     /* and can be woken by nothing but what it waits for */
	bool running;	     /* its main thread has a processor, or would use one */
};
/* 0 or -errno (-ESRCH: gone). */
int proc_task__identity(pid_t pid, struct proc_identity *ret);
/* proc_identity.running; false of one that is gone. */
bool proc_task__is_running(pid_t pid);

/* Do a living thread of one process and another process have the same memory? 1: yes, 0: no;
 * negative errno: not to be had (the kernel does not tell, or not us). */
int proc_task__shares(pid_t thread, pid_t pid);
/* Does another process run in its memory (vfork, clone)? Stopping the threads does not stop that
 * one. if_unknown: where the kernel does not tell. */
bool proc_task__is_shared(pid_t pid, bool if_unknown);

/* Calls fn for every PID, ascending. fn returns 0 to go on. 0, what fn returned, or -errno. */
int proc_task__each_pid(int (*fn)(void *arg, pid_t pid), void *arg);

/* Calls fn for every process (kernel threads only if asked for), by PID. fn returns 0 to go on. */
int proc_task__each(bool kthreads, int (*fn)(void *arg, const struct mw_task_row *row), void *arg);

/* Start time of a process in ns of CLOCK_BOOTTIME, cut to clock ticks (10 ms), 0 if it is gone. */
__u64 proc_task__start_ns(pid_t pid);
/* CPU time of a process and of its children that have ended and were waited for, cut to clock
 * ticks; 0 if it is gone. */
__u64 proc_task__cpu_ns(pid_t pid);
/* Where the stack pointer was when the image began, 0 if that is not to be seen. */
__u64 proc_task__stack_start(pid_t pid);
/* Where its brk area begins, 0 if that is not to be seen. */
__u64 proc_task__start_brk(pid_t pid);
/* Where a thread that is blocked in the kernel is in its program: the instruction and its stack
 * pointer. 0; -EAGAIN: it runs; other -errno. Allocates nothing. */
int proc_task__where(pid_t tid, __u64 *ret_ip, __u64 *ret_sp);

#endif
