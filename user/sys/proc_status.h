/* SPDX-License-Identifier: GPL-2.0-or-later */
/* proc_status.h - /proc/PID/status, as far as anybody asks. */
#ifndef SYS_PROC_STATUS_H
#define SYS_PROC_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum proc_size {
	PROC_VM_PEAK,
	PROC_VM_SIZE,
	PROC_VM_LOCKED,
	PROC_RSS_PEAK,
	PROC_RSS_ANON,
	PROC_RSS_FILE,
	PROC_RSS_SHMEM,
	PROC_PAGE_TABLES,
	PROC_SWAP,
	PROC_STACK,   /* of the main thread; what of it was touched is in RssAnon */
	PROC_HUGETLB, /* huge pages of hugetlbfs, which are not in RSS */
	PROC_SIZES,
};

struct proc_status {
	pid_t tgid;   /* of a thread: its process */
	pid_t ns_pid; /* in the innermost PID namespace; 0: not told */
	pid_t tracer; /* 0: none */
	uid_t uid, euid;
	unsigned threads;
	bool filters;		   /* its system calls (seccomp) */
	bool shadow_stack;	   /* on x86 */
	bool has_memory;	   /* of its own: no kernel thread, no zombie */
	uint64_t size[PROC_SIZES]; /* bytes; 0: not told */
};

/* Of a process or a thread. 0; -ESRCH: gone; other negative errno. */
int proc_status__read(pid_t pid, struct proc_status *ret);
/* From the file's text, which it changes. Pure. */
void proc_status__parse(char *text, struct proc_status *ret);

#endif
