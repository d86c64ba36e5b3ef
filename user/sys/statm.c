/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/statm.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "sys/proc_file.h"
#include "sys/proc_task.h"

int statm__of_thread(pid_t pid, struct statm *ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char path[64], text[256];
	struct statm s;
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	n = proc_file__read(path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %" SCNu64, &s.virt, &s.rss,
		   &s.shared, &s.data) != 4 ||
	    !s.virt)
		return -ESRCH;
	*ret = (struct statm){s.virt * page, s.rss * page, s.shared * page, s.data * page};
	return 0;
}

int statm__read(pid_t pid, struct statm *ret)
{
	int err = statm__of_thread(pid, ret);
	pid_t other = err == -ESRCH ? proc_task__shows(pid) : pid;

	return other == pid ? err : statm__of_thread(other, ret);
}
