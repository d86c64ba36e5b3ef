/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/nofile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#define WANTED                                                                             \
	(1 << 18) /* 1,023 processes with 256 descriptors each; below fs.nr_open's default \
		   */

static struct rlimit before;
static bool raised;

void nofile__raise(void)
{
	struct rlimit r;

	if (raised || getrlimit(RLIMIT_NOFILE, &before) || before.rlim_cur >= WANTED)
		return;
	raised = true;
	r = before;
	r.rlim_cur = WANTED;
	if (r.rlim_max < WANTED) {
		r.rlim_max = WANTED; /* for CAP_SYS_RESOURCE */
		if (!setrlimit(RLIMIT_NOFILE, &r))
			return;
		r.rlim_cur = r.rlim_max = before.rlim_max;
	}
	setrlimit(RLIMIT_NOFILE, &r);
}

bool nofile__room(unsigned n)
{
	struct rlimit r;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return true;
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return errno != EMFILE;
	close(fd);
	return (rlim_t)fd + n < r.rlim_cur;
}

void nofile__restore(void)
{
	if (raised)
		setrlimit(RLIMIT_NOFILE, &before);
}

void nofile__restore_of(pid_t pid)
{
	if (raised)
		prlimit(pid, RLIMIT_NOFILE, &before, NULL);
}
