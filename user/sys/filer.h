/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filer.h - the process that opens and writes memwatch's files (memwatch-files), so that a file
 * system that does not answer (a hung disk, a network that is gone, FUSE) holds up neither the
 * watching nor the end: what waits for such a file system cannot be ended by anybody.
 *
 * It is forked early, and forks a process for each order; what is to be written goes there as a
 * file in memory or through a socket. Nobody waits for an order for ever: once the end was asked
 * for, one that has not moved for most of a second is left behind, which is told. Its process goes
 * on with what it has and ends by itself, so that nothing collected is lost when the file system
 * comes back; until then there is nothing under the file's name.
 *
 * sys/outfile.h is what others use; it asks this process wherever it runs. Errors are those of
 * outfile.h, and -EPIPE: there is no such process, or not any more.
 */
#ifndef SYS_FILER_H
#define SYS_FILER_H

#include <stdbool.h>
#include <stddef.h>

/* Call it before privileges are given up, while there is one thread, and before other processes
 * are started, whose sockets it would have open. goes_on: what was begun is finished when memwatch
 * is gone; else it ends with it, and leaves nothing. Which privileges (privilege.h) the caller
 * still needs for its files: none; where there can be no such process, files are written by the
 * caller. */
unsigned filer__start(bool goes_on);
bool filer__runs(void);

/* `fd` is a file in memory with all that is to be written. */
int filer__write(const char *path, int fd);
int filer__check(const char *path);
int filer__prune(const char *pattern, size_t keep);

/* A file that is written little by little. */
struct filer_file;
int filer__create(const char *path, struct filer_file **ret);
/* Waits for nothing: what cannot be handed on waits in memory, at most 64 MiB (-ETIMEDOUT). 0 or
 * that with which writing has failed, now or before. */
int filer__add(struct filer_file *f, const void *data, size_t len);
/* Waits until all is on disk. */
int filer__close(struct filer_file *f);

/* A log (sys/logfile.h) that is kept open; max: bytes of the longest line. */
int filer__log(const char *path, size_t max, struct filer_file **ret);
/* Sends a line, or (0 bytes) asks for the file that has the name now. Waits for nothing and
 * allocates nothing. 0; -ENOBUFS: too much is under way. */
int filer__log_send(struct filer_file *f, const char *line, size_t len);
/* What came of the first that was sent and not answered, waiting for so many slices of 50 ms: 0 or
 * -errno; -EINPROGRESS: nothing yet; -ETIMEDOUT: the end has no more time for it. */
int filer__log_answer(struct filer_file *f, unsigned slices);
/* The answer to the last that was sent is not asked for. */
void filer__log_forget(struct filer_file *f);
/* What is under way is still written; waits for nothing. Accepts NULL. */
void filer__log_close(struct filer_file *f);

#endif
