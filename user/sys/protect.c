/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/util.h"
#include "sys/privilege.h"

int protect__lock_memory(void)
{
	/* ONFAULT (Linux 4.4): locking the whole of every shared library would cost tens of MiB. */
	int flags = MCL_CURRENT | MCL_ONFAULT, err;
	struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

	privilege__raise(PRIVILEGE_LIMITS);
	/* What is mapped later is locked without the privilege: only where there is no limit. */
	if (!setrlimit(RLIMIT_MEMLOCK, &none) ||
	    (!getrlimit(RLIMIT_MEMLOCK, &none) && none.rlim_cur == RLIM_INFINITY))
		flags |= MCL_FUTURE;
	err = mlockall(flags) ? -errno : 0;
	privilege__lower(PRIVILEGE_LIMITS);
	return err;
}

int protect__oom_score_adj(int adj)
{
	cleanup_free char *text = NULL;
	char now[16];
	int fd, err = 0;

	if (util__read_file("/proc/self/oom_score_adj", 16, &text) > 0 &&
	    strtol(text, NULL, 10) <= adj)
		return 0;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(now, sizeof(now), "%d\n", adj);
	privilege__raise(PRIVILEGE_LIMITS);
	err = util__write_all(fd, now, strlen(now));
	privilege__lower(PRIVILEGE_LIMITS);
	close(fd);
	return err;
}
