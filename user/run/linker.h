/* SPDX-License-Identifier: GPL-2.0-or-later */
/* linker.h - where a program that is being started is: still in its dynamic linker, or its own. */
#ifndef RUN_LINKER_H
#define RUN_LINKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#if defined(__x86_64__)
#define REG_NR(r) ((r).orig_rax)
#define REG_IP(r) ((r).rip)
#define REG_PROT(r) ((r).rdx)
#define REG_SP(r) ((r).rsp)
#else
#define REG_NR(r) ((r).regs[8])
#define REG_IP(r) ((r).pc)
#define REG_PROT(r) ((r).regs[2])
#define REG_SP(r) ((r).sp)
#endif

/* A process that is followed through its dynamic linker. */
struct linker {
	pid_t pid;
	bool in_exec;	 /* which has yet to return; what follows is not known before */
	uint64_t lo, hi; /* where the linker is mapped */
	/* musl's is the C library too: it is the program that runs when its code is on the stack */
	bool is_libc;
	uint64_t entry, text, text_end; /* of the program */
	bool in_call;			/* the next stop is the end of a system call */
};

/* Where the dynamic linker is mapped; false in a static program (which has none). */
bool linker__find(int pid, struct linker *l);
/* Is this system call, about to be made, one of the program itself? */
bool linker__left(const struct linker *l, const struct user_regs_struct *r);

#endif
