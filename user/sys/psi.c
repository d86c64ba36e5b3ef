/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"

static int parse_line(const char *text, const char *name, struct psi_line *ret)
{
	const char *at = strstr(text, name);

	if (!at)
		return -EBADMSG;
	if (sscanf(at + strlen(name), " avg10=%lf avg60=%lf avg300=%lf total=%" SCNu64, &ret->avg10,
		   &ret->avg60, &ret->avg300, &ret->total_us) != 4)
		return -EBADMSG;
	return 0;
}

int psi__parse(const char *text, struct psi *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (parse_line(text, "some", &ret->some) || parse_line(text, "full", &ret->full)) {
		memset(ret, 0, sizeof(*ret));
		return -EBADMSG;
	}
	ret->valid = true;
	return 0;
}

int psi__read(int fd, struct psi *ret)
{
	char text[512];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	ret->valid = false;
	if (n < 0)
		return -errno;
	text[n] = 0;
	return psi__parse(text, ret);
}

int psi__open_machine(void)
{
	int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int psi__machine(struct psi *ret)
{
	cleanup_fd int fd = psi__open_machine();

	ret->valid = false;
	return fd < 0 ? fd : psi__read(fd, ret);
}
