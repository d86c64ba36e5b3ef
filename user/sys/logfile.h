/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * logfile.h - a file of lines that is added to (outfile__append), whatever file has the name by
 * then, a whole line or nothing, synced. The side that waits for the file system; who logs uses
 * oom/jsonlog.h.
 */
#ifndef SYS_LOGFILE_H
#define SYS_LOGFILE_H

#include <stddef.h>
#include <sys/types.h>

struct logfile {
	const char *path; /* borrowed */
	int fd;
	dev_t dev;
	ino_t ino;
};

/* 0 or -errno. */
int logfile__open(struct logfile *l, const char *path);
/* The file under the name, whichever that is by now. 0 or -errno. */
int logfile__reopen(struct logfile *l);
/* All of it or nothing: a line that does not fit is taken back, unless another writer has added
 * something since. 0 or -errno. Allocates nothing. */
int logfile__add(struct logfile *l, const char *data, size_t len);
void logfile__close(struct logfile *l);

#endif
