/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saved kernel logs of any bytes: read, and what is found shown as text and JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <stdio.h>

#include "oom/render.h"
#include "oom/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(void *arg, struct oom_event *e)
{
	struct textbuf *b = arg;

	textbuf__reset(b);
	render__text(b, e);
	render__json(b, e);
	render__summary(b, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct textbuf b;
	struct saved_stats stats;
	char path[64];
	int fd = memfd_create("log", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	lseek(fd, 0, SEEK_SET);
	if (saved__read(path, show, &b, &stats))
		abort();
	close(fd);
	return 0;
}
