/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lines.h - the lines of a file that somebody else wrote, within limits: a line is at most so long,
 * the file is read to at most so many bytes, and only regular files are taken (/dev/zero has no
 * end). What is damaged (too long, or NUL bytes, as a crash leaves them, and what of the
 * line stands before) is skipped and counted, and reading goes on right behind it. Files compressed
 * by gzip are read as what is in them; the limits are of that.
 */
#ifndef CORE_LINES_H
#define CORE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines;

struct lines_limits {
	size_t line_bytes;   /* longest line */
	uint64_t file_bytes; /* how far the file is read */
};

/* "-" is standard input, which may be a pipe. 0; -EINVAL: not a regular file; other -errno. */
int lines__open(const char *path, const struct lines_limits *limits, struct lines **ret);
/* The same of an open file, which is the callee's from then on, whatever comes of it. */
int lines__open_fd(int fd, const struct lines_limits *limits, struct lines **ret);
void lines__close(struct lines *l);

/* The next line, NUL-terminated, without its newline; borrowed until the next call. 1; 0 at the
 * end; -errno. */
int lines__next(struct lines *l, char **ret_line, size_t *ret_len);

/* Damaged lines so far; whether the file went on behind the limit, or is a cut archive. */
uint64_t lines__damaged(const struct lines *l);
bool lines__cut(const struct lines *l);
/* When the file was last written, ms since 1970; now for a pipe. */
int64_t lines__mtime_ms(const struct lines *l);

#endif
