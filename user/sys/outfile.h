/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outfile.h - creates every file that memwatch writes: in a process of its own where there is one
 * (filer.h), so that a file system that does not answer holds up nobody.
 *
 * memwatch runs as root in directories that belong to others. Therefore:
 *  - the directories on the way are opened one by one and held; a symbolic link is followed only
 *    where nobody but this user and root can make one;
 *  - a file appears whole or not at all: it is written without a name (O_TMPFILE; where the file
 *    system has none, under a hidden name that goes with the process) and gets its name at the end;
 *  - a file that is there is replaced, never written into, and only if it is this user's own; its
 *    mode, its other names and its access list are not taken over;
 *  - the mode is 0600, less what the umask takes away, or exactly that of outfile__set_mode;
 *  - logs are added to only if they are this user's own regular files with a single name;
 *  - a pipe or a character device is written to only where nobody else can have put it, and a
 *    block device never. /dev/stdout, /dev/stderr, /dev/fd/N and /proc/self/fd/N name the
 *    descriptor that was handed to memwatch, whatever it is: who started memwatch opened it.
 *
 * Errors are negative errnos; outfile__strerror says what they mean here.
 */
#ifndef SYS_OUTFILE_H
#define SYS_OUTFILE_H

#include <stdio.h>
#include <sys/types.h>

/* The mode of every file from now on, whatever the umask. */
void outfile__set_mode(mode_t mode);

/* An octal mode of read and write bits without write for others; else -EINVAL. */
int outfile__parse_mode(const char *text, mode_t *ret);

/* Calls fn(f, arg) on a stream that becomes `path` if fn returns 0 and everything was written. Of
 * threads that write at the same time one waits for the other. */
int outfile__write(const char *path, int (*fn)(FILE *f, void *arg), void *arg);

/* What outfile__write and outfile__create would fail with now, as far as can be told without
 * writing: a directory that is not there or not ours to write in, a file of somebody else. 0 or
 * -errno. */
int outfile__check(const char *path);

/* For outfile__write and its like: the whole of a regular file, by its descriptor, an int *. */
int outfile__copy(FILE *f, void *fd);

/* From now on outfile__write writes to memory and hands that over for `path`: in a process that has
 * no paths (sys/apart.h). */
void outfile__hand_over(int (*fn)(const char *path, int fd));

/* A new empty file of that name, in place of a former one, for what is written little by little
 * and is of use however it ends (recordings). In this process: others use outstream.h. */
int outfile__create(const char *path, int *ret_fd);
/* What was written is on disk; pipes and the like have none. 0 or -errno. */
int outfile__sync(int fd);

/* A log: opened for appending, and for reading where it is a file; created if it is not there. */
int outfile__append(const char *path, int *ret_fd);

/*
 * Of the files "DIR/NAME", NAME with '#' for any number, that are this user's own regular ones, the
 * `keep` with the highest last numbers stay; the others are removed, whoever wrote them and when.
 * 0 or -errno.
 */
int outfile__prune(const char *pattern, size_t keep);

const char *outfile__strerror(int err);

#endif
