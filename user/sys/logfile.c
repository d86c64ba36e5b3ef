/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/logfile.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/outfile.h"

static int open_file(struct logfile *l)
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
	util__close_fd(&l->fd);
	l->fd = fd;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

int logfile__open(struct logfile *l, const char *path)
{
	*l = (struct logfile){.path = path, .fd = -1};
	return open_file(l);
}

int logfile__reopen(struct logfile *l)
{
	struct stat st;

	if (l->fd >= 0 && !stat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		return 0;
	return open_file(l);
}

static int append(const struct logfile *l, const char *data, size_t len)
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
	if (!err)
		err = outfile__sync(l->fd);
	if (err && before >= 0 && lseek(l->fd, 0, SEEK_END) == before + (off_t)done &&
	    ftruncate(l->fd, before))
		err = -errno;
	return err;
}

int logfile__add(struct logfile *l, const char *data, size_t len)
{
	int err = logfile__reopen(l);

	return err ? err : append(l, data, len);
}

void logfile__close(struct logfile *l)
{
	util__close_fd(&l->fd);
	l->fd = -1;
}
