/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/smaps_sums.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "sys/proc_task.h"

static uint64_t bytes_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) << 10 : 0;
}

int smaps_sums__read(pid_t pid, struct smaps_sums *ret)
{
	cleanup_free char *text = NULL;
	char path[64];
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", proc_task__shows(pid));
	n = util__read_file(path, 16384, &text);
	if (n <= 0)
		return n ? (int)n : -ESRCH;
	ret->rss = bytes_of(text, "\nRss:");
	ret->anon_huge = bytes_of(text, "\nAnonHugePages:");
	ret->lazy_free = bytes_of(text, "\nLazyFree:");
	return 0;
}
