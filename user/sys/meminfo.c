/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/meminfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"

#define MAX_TEXT 8192 /* 1.5 kB in Linux 6.x */

static const struct {
	const char *name;
	size_t off;
} fields[] = {
	{"MemTotal:", offsetof(struct meminfo, total)},
	{"MemFree:", offsetof(struct meminfo, free)},
	{"MemAvailable:", offsetof(struct meminfo, available)},
	{"Buffers:", offsetof(struct meminfo, buffers)},
	{"Cached:", offsetof(struct meminfo, cached)},
	{"AnonPages:", offsetof(struct meminfo, anon)},
	{"Shmem:", offsetof(struct meminfo, shmem)},
	{"Slab:", offsetof(struct meminfo, slab)},
	{"SwapTotal:", offsetof(struct meminfo, swap_total)},
	{"SwapFree:", offsetof(struct meminfo, swap_free)},
	{"CommitLimit:", offsetof(struct meminfo, commit_limit)},
	{"Committed_AS:", offsetof(struct meminfo, commit)},
};

void meminfo__parse(const char *text, struct meminfo *ret)
{
	memset(ret, 0xff, sizeof(*ret));
	while (*text) {
		size_t len = strcspn(text, "\n");

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			size_t n = strlen(fields[i].name);

			if (!strncmp(text, fields[i].name, n))
				*(uint64_t *)((char *)ret + fields[i].off) =
					strtoull(text + n, NULL, 10) << 10;
		}
		text += len + (text[len] == '\n');
	}
}

int meminfo__open(void)
{
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int meminfo__read_fd(int fd, struct meminfo *ret)
{
	char text[MAX_TEXT];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	int err = n < 0 ? -errno : 0;

	text[max_of(n, 0)] = 0;
	meminfo__parse(text, ret);
	return err;
}

int meminfo__read(struct meminfo *ret)
{
	cleanup_fd int fd = meminfo__open();

	if (fd >= 0)
		return meminfo__read_fd(fd, ret);
	meminfo__parse("", ret);
	return fd;
}
