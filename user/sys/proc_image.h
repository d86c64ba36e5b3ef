/* SPDX-License-Identifier: GPL-2.0-or-later */
/* proc_image.h - what a process was started as: its command line, its file, what the kernel told
 * the program (/proc/PID/cmdline, exe, auxv). */
#ifndef SYS_PROC_IMAGE_H
#define SYS_PROC_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Up to max bytes of the arguments, a NUL behind each (a program may have changed that); owned by
 * the caller, a NUL follows. Their number; 0: it has none, or not any more; -errno. */
ssize_t proc_image__arguments(pid_t pid, size_t max, char **ret);
/* The same as one line, with blanks between them; NULL where there are none. Owned by the caller;
 * not made printable. */
char *proc_image__command(pid_t pid, size_t max);

/* The same into buf, "" where there are none. Allocates nothing. */
void proc_image__put_command(pid_t pid, char *buf, size_t size);

/* The path of its file, "" where it cannot be read; the kernel puts " (deleted)" behind one that
 * is gone. */
void proc_image__path(pid_t pid, char *buf, size_t size);
/* The file itself, through the mount namespace: a descriptor, -ESRCH, -errno. */
int proc_image__open(pid_t pid);

/* A value of the auxiliary vector (AT_ENTRY, AT_BASE). 0; -ENOENT: it has none of this kind, or
 * exec is in progress; -errno. */
int proc_image__auxv(pid_t pid, uint64_t kind, uint64_t *ret);

#endif
