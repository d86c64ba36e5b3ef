/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * box_accounts.h - what helpers (box.h) have spent, by file and by process, and what may be spent.
 *
 * Files have accounts, kept by device and inode: the processor time that all helpers together may
 * spend on one is BOX_CPU_SECONDS (or core/surroundings.h) and a twentieth of the time that goes
 * by; all files that other users may write share BOX_TOTAL_CPU times as much. Processes have
 * accounts too, of what all helpers that read on their behalf take together, their memory or their
 * files: BOX_TARGET times what one file and one helper may; and all processes of other users
 * together BOX_TOTAL_TARGETS times what one of them may, and a fifth of the time that goes by.
 *
 * One set for this process. Whoever calls holds box.c's lock, but for box__target, box__foreign and
 * box_accounts__is_foreign.
 */
#ifndef SYS_BOX_ACCOUNTS_H
#define SYS_BOX_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BOX_CPU_SECONDS 5
#define BOX_TOTAL_CPU 4
#define BOX_TARGET 4
#define BOX_TOTAL_TARGETS 2

/* A process on whose behalf helpers work. */
struct box_target {
	uint64_t id; /* of no other at any time; 0: none */
	pid_t pid;
	bool foreign; /* as box__foreign of files */
};
struct box_target box__target(pid_t pid);

/* Whether others than root and this process's user may write the file: then it is not to be
 * believed, nor waited for. */
bool box__foreign(int fd);

struct box_accounts { /* that one helper is charged to; SIZE_MAX: none */
	size_t file, target;
};

/* What helpers together may take for a file; from now on time goes by. */
void box_accounts__open(uint64_t cpu_ns);

/* Of the file behind fd (-1: of none) and of a process (NULL: of none), new ones if need be; none
 * when there are too many. in_use: some helper is charged to one still, so none is forgotten. */
struct box_accounts box_accounts__of(int fd, const struct box_target *whose, bool in_use);
void box_accounts__charge(const struct box_accounts *a, uint64_t cpu_ns);

/* Processor time that one more helper may take, and the process alone; live_ns: what helpers that
 * work for the process have taken and not been charged with. */
uint64_t box_accounts__left(const struct box_accounts *of, uint64_t live_ns);
uint64_t box_accounts__left_of_target(size_t target, uint64_t live_ns);

/* Whether others write the file or run the process. */
bool box_accounts__is_foreign(const struct box_accounts *a);
/* Says once of a process that it has had what it may. */
void box_accounts__say_out(const struct box_accounts *a, pid_t pid, const char *what);

#endif
