/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/jsonlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/outfile.h"

struct jsonlog {
	char *path;
	int fd;
	dev_t dev;
	ino_t ino;
	size_t waiting; /* bytes in backlog */
	size_t lines;
	uint64_t lost;
	char backlog[JSONLOG_BACKLOG];
};

static int open_file(struct jsonlog *l)
{
	struct stat st;
	int fd, err = outfile__append(l->path, &fd);

	if (err)
		return err;
	if (fstat(fd, &st)) {
		err = -errno;
		close(fd);
		return err;
	}
	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

int jsonlog__open(const char *path, struct jsonlog **ret)
{
	struct jsonlog *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	util__prefault(l, sizeof(*l));
	l->fd = -1;
	l->path = strdup(path);
	err = l->path ? open_file(l) : -ENOMEM;
	if (err) {
		free(l->path);
		free(l);
		return err;
	}
	*ret = l;
	return 0;
}

/* The file under the name, whichever that is by now. */
static int current_file(struct jsonlog *l)
{
	struct stat st;

	if (l->fd >= 0 && !stat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		return 0;
	return open_file(l);
}

/* All of it or nothing: a line that does not fit is taken back, unless another writer has added
 * something since. */
static int append(struct jsonlog *l, const char *data, size_t len)
{
	size_t done = 0;
	off_t before = lseek(l->fd, 0, SEEK_END);
	char last = '\n';
	int err = 0;

	if (before > 0 && pread(l->fd, &last, 1, before - 1) == 1 && last != '\n' &&
	    write(l->fd, "\n", 1) == 1)
		before++;
	while (done < len) {
		ssize_t n = write(l->fd, data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			break;
		}
		done += n;
	}
	if (!err && fdatasync(l->fd) && errno != EINVAL && errno != EROFS)
		err = -errno;
	if (err && before >= 0 && lseek(l->fd, 0, SEEK_END) == before + (off_t)done &&
	    ftruncate(l->fd, before))
		err = -errno;
	return err;
}

int jsonlog__retry(struct jsonlog *l)
{
	int err;

	if (!l->waiting)
		return 0;
	err = current_file(l);
	while (!err && l->waiting) {
		const char *nl = memchr(l->backlog, '\n', l->waiting);
		size_t len = nl ? (size_t)(nl - l->backlog) + 1 : l->waiting;

		err = append(l, l->backlog, len);
		if (err)
			break;
		l->waiting -= len;
		l->lines--;
		memmove(l->backlog, l->backlog + len, l->waiting);
	}
	return err;
}

int jsonlog__write(struct jsonlog *l, const char *line, size_t len)
{
	int err = jsonlog__retry(l);

	if (!err)
		err = current_file(l);
	if (!err)
		err = append(l, line, len);
	if (!err)
		return 0;
	if (len > sizeof(l->backlog) - l->waiting) {
		l->lost++;
		return -ENOBUFS;
	}
	memcpy(l->backlog + l->waiting, line, len);
	l->waiting += len;
	l->lines++;
	return err;
}

int jsonlog__reopen(struct jsonlog *l)
{
	return current_file(l);
}

size_t jsonlog__waiting(const struct jsonlog *l)
{
	return l->lines;
}

uint64_t jsonlog__lost(const struct jsonlog *l)
{
	return l->lost;
}

void jsonlog__close(struct jsonlog *l)
{
	if (!l)
		return;
	jsonlog__retry(l);
	close(l->fd);
	free(l->path);
	free(l);
}
