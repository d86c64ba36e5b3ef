/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nofile.h - memwatch holds several descriptors for each process that it watches. The limit that it
 * raises for itself is not passed on to the programs that it starts.
 */
#ifndef SYS_NOFILE_H
#define SYS_NOFILE_H

#include <stdbool.h>
#include <sys/types.h>

/* As many open files as the kernel and the capabilities allow. */
void nofile__raise(void);

/* Can about n more files be opened? */
bool nofile__room(unsigned n);

/* In a child, before its exec: the limit as it was. Safe after fork. */
void nofile__restore(void);
/* The same for a child that runs already. */
void nofile__restore_of(pid_t pid);

#endif
