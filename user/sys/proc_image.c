/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/proc_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/proc_file.h"
#include "sys/proc_task.h"
#include "sys/safeopen.h"

#define MAX_AUXV (64 << 10)

static void put_path(char path[64], pid_t pid)
{
	snprintf(path, 64, "/proc/%d/cmdline", pid);
}

ssize_t proc_image__arguments(pid_t pid, size_t max, char **ret)
{
	char path[64];

	put_path(path, pid);
	return util__read_file(path, max, ret);
}

/* Arguments as one line; its length. */
static size_t join(char *text, ssize_t n)
{
	while (n > 0 && !text[n - 1])
		n--;
	for (ssize_t i = 0; i < n; i++) {
		if (!text[i])
			text[i] = ' ';
	}
	return max_of(n, 0);
}

char *proc_image__command(pid_t pid, size_t max)
{
	cleanup_free char *text = NULL;
	ssize_t got = proc_image__arguments(pid, max, &text);
	size_t n = join(text, got);
	char *fits;

	if (!n)
		return NULL;
	fits = realloc(text, n + 1); /* kept: without the room for reading */
	if (fits)
		text = fits;
	return take_ptr(text);
}

void proc_image__put_command(pid_t pid, char *buf, size_t size)
{
	char path[64];

	put_path(path, pid);
	buf[join(buf, proc_file__read(path, buf, size))] = 0;
}

void proc_image__path(pid_t pid, char *buf, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, buf, size - 1);
	buf[max_of(n, 0)] = 0;
}

int proc_image__open(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", proc_task__shows(pid));
	fd = safeopen__file(path, NULL);
	return fd == -ENOENT ? -ESRCH : fd;
}

int proc_image__auxv(pid_t pid, uint64_t kind, uint64_t *ret)
{
	cleanup_free char *text = NULL;
	uint64_t pair[2];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/auxv", proc_task__shows(pid));
	n = util__read_file(path, MAX_AUXV, &text);
	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i + (ssize_t)sizeof(pair) <= n; i += sizeof(pair)) {
		memcpy(pair, text + i, sizeof(pair));
		if (pair[0] == kind) {
			*ret = pair[1];
			return 0;
		}
	}
	return -ENOENT;
}
