/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nofile.h - memwatch holds several descriptors for each process that it watches. The programs that
 * it starts are forked before it raises the limit for itself.
 */
#ifndef SYS_NOFILE_H
#define SYS_NOFILE_H

#include <stdbool.h>

/* As many open files as the kernel and the capabilities allow. */
void nofile__raise(void);

/* Can about n more files be opened? */
bool nofile__room(unsigned n);

#endif
