/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/nofile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/privilege.h"

#define WANTED                                                                             \
	(1 << 18) /* 1,023 processes with 256 descriptors each; below fs.nr_open's default \
		   */

void nofile__raise(void)
{
	struct rlimit r, more;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= WANTED)
		return;
	more = (struct rlimit){WANTED, max_of(r.rlim_max, (rlim_t)WANTED)};
	privilege__raise(PRIVILEGE_LIMITS);
	if (setrlimit(RLIMIT_NOFILE, &more)) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	privilege__lower(PRIVILEGE_LIMITS);
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
