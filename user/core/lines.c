/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/util.h"

struct lines {
	gzFile file;
	struct lines_limits limits;
	int64_t mtime_ms;
	uint64_t read_bytes, damaged;
	bool eof, cut;
	bool skipping, counted; /* in a line that is too long; in one whose damage is counted */
	size_t start, end;
	char *buf; /* limits.line_bytes + 1 bytes and its terminator */
};

static int open_lines(int taken, bool is_stdin, const struct lines_limits *limits,
		      struct lines **ret)
{
	cleanup_fd int fd = taken;
	struct lines *l;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && (!is_stdin || S_ISBLK(st.st_mode)))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->buf = malloc(limits->line_bytes + 2);
	if (!l->buf) {
		free(l);
		return -ENOMEM;
	}
	l->limits = *limits;
	l->mtime_ms = S_ISREG(st.st_mode)
			      ? (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000
			      : util__wall_ms();
	l->file = gzdopen(fd, "rb");
	if (!l->file) {
		free(l->buf);
		free(l);
		return -ENOMEM;
	}
	take_fd(&fd);
	*ret = l;
	return 0;
}

int lines__open(const char *path, const struct lines_limits *limits, struct lines **ret)
{
	bool is_stdin = !strcmp(path, "-");
	/* Not blocking: opening a FIFO must not wait for its writer. */
	int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			  : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : open_lines(fd, is_stdin, limits, ret);
}

int lines__open_fd(int fd, const struct lines_limits *limits, struct lines **ret)
{
	return open_lines(fd, false, limits, ret);
}

void lines__close(struct lines *l)
{
	if (!l)
		return;
	gzclose_r(l->file);
	free(l->buf);
	free(l);
}

static int fill(struct lines *l)
{
	size_t room;
	int n, zerr;

	memmove(l->buf, l->buf + l->start, l->end - l->start);
	l->end -= l->start;
	l->start = 0;
	room = l->limits.line_bytes + 1 - l->end;
	if (l->read_bytes + room > l->limits.file_bytes)
		room = l->limits.file_bytes - l->read_bytes;
	if (!room) {
		l->eof = l->cut = true;
		return 0;
	}
	n = gzread(l->file, l->buf + l->end, (unsigned)room);
	if (n <= 0) {
		gzerror(l->file, &zerr);
		/* A damaged or cut archive: what came before counts. */
		l->cut = zerr == Z_DATA_ERROR || zerr == Z_BUF_ERROR;
		l->eof = true;
		return n < 0 && !l->cut ? -EIO : 0;
	}
	l->end += n;
	l->read_bytes += n;
	return 0;
}

static void count_damage(struct lines *l)
{
	l->damaged += !l->counted;
	l->counted = true;
}

int lines__next(struct lines *l, char **ret_line, size_t *ret_len)
{
	for (;;) {
		char *line = l->buf + l->start;
		char *nl = memchr(line, '\n', l->end - l->start);
		size_t len = nl ? (size_t)(nl - line) : l->end - l->start;
		char *nul = memrchr(line, 0, len);
		bool whole = nl || (l->eof && len), drop;
		int err;

		if (nul) { /* what is behind a run of them is a line that somebody began anew */
			count_damage(l);
			l->skipping = false;
			l->start += (size_t)(nul - line) + 1;
			continue;
		}
		if (!whole && l->eof)
			return 0;
		if (!whole && len > l->limits.line_bytes) {
			count_damage(l);
			l->skipping = true;
			l->start = l->end;
		}
		if (!whole) {
			err = fill(l);
			if (err)
				return err;
			continue;
		}
		l->start += len + (nl != NULL);
		line[len] = 0;
		drop = l->skipping || (l->counted && !len);
		l->skipping = l->counted = false;
		if (!drop) {
			*ret_line = line;
			*ret_len = len;
			return 1;
		}
	}
}

uint64_t lines__damaged(const struct lines *l)
{
	return l->damaged;
}

bool lines__cut(const struct lines *l)
{
	return l->cut;
}

int64_t lines__mtime_ms(const struct lines *l)
{
	return l->mtime_ms;
}
