/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/statm.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"

int statm__read(pid_t pid, struct statm *ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char text[256];
	struct statm s;
	cleanup_fd int fd = -1;
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	snprintf(text, sizeof(text), "/proc/%d/statm", (int)pid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &s.virt, &s.rss, &s.shared) != 3 ||
	    !s.virt)
		return -ESRCH;
	*ret = (struct statm){s.virt * page, s.rss * page, s.shared * page};
	return 0;
}
