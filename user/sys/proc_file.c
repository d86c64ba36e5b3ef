/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/util.h"

ssize_t proc_file__read(const char *path, char *buf, size_t size)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[max_of(n, 0)] = 0;
	return n < 0 ? -errno : n;
}
