/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/datagram.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/util.h"

#define MAX_PARTS 8

/* A descriptor or -errno. A file with that name is no proof: a daemon that died leaves it. */
static int connect_to(const char *path, bool *ret_is_stream)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int err = -EPROTOTYPE;

	if ((size_t)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	for (int stream = 0; stream < 2 && err == -EPROTOTYPE; stream++) {
		int type = stream ? SOCK_STREAM : SOCK_DGRAM;
		cleanup_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		*ret_is_stream = stream;
		if (fd >= 0 && !connect(fd, (const struct sockaddr *)&a, sizeof(a)))
			return take_fd(&fd);
		err = -errno;
	}
	return err;
}

int datagram__probe(const char *path)
{
	bool is_stream;
	cleanup_fd int fd = connect_to(path, &is_stream);

	return min_of(fd, 0);
}

int datagram__send(const char *path, const struct iovec *part, size_t n)
{
	bool is_stream;
	cleanup_fd int fd = connect_to(path, &is_stream);
	struct iovec parts[MAX_PARTS + 1];
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = n};
	size_t len = 0;
	ssize_t sent;

	if (fd < 0 || n > MAX_PARTS)
		return fd < 0 ? fd : -E2BIG;
	memcpy(parts, part, n * sizeof(*part));
	if (is_stream)
		parts[m.msg_iovlen++] = (struct iovec){.iov_base = (char *)"", .iov_len = 1};
	for (size_t i = 0; i < m.msg_iovlen; i++)
		len += parts[i].iov_len;
	sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EAGAIN;
}
