/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/outstream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/filer.h"
#include "sys/outfile.h"

struct outstream {
	int fd, err;
	struct filer_file *far;
};

int outstream__create(const char *path, struct outstream **ret)
{
	struct outstream *s = calloc(1, sizeof(*s));
	int err = -EPIPE;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	if (filer__runs())
		err = filer__create(path, &s->far);
	if (err == -EPIPE)
		err = outfile__create(path, &s->fd);
	if (err)
		free(s);
	else
		*ret = s;
	return err;
}

int outstream__add(struct outstream *s, const void *data, size_t len)
{
	if (!s->err)
		s->err = s->far ? filer__add(s->far, data, len) : util__write_all(s->fd, data, len);
	return s->err;
}

int outstream__finish(struct outstream *s)
{
	int err;

	if (!s)
		return 0;
	err = s->far ? filer__close(s->far) : outfile__sync(s->fd);
	if (s->fd >= 0 && close(s->fd) && !err)
		err = -errno;
	err = s->err ? s->err : err;
	free(s);
	return err;
}
