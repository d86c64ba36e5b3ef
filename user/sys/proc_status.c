/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/proc_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define MAX_STATUS (1 << 20) /* a process may be in 65,536 groups, which it lists */

static const char *const size_names[PROC_SIZES] = {
	[PROC_VM_PEAK] = "VmPeak",     [PROC_VM_SIZE] = "VmSize",	[PROC_VM_LOCKED] = "VmLck",
	[PROC_RSS_PEAK] = "VmHWM",     [PROC_RSS_ANON] = "RssAnon",	[PROC_RSS_FILE] = "RssFile",
	[PROC_RSS_SHMEM] = "RssShmem", [PROC_PAGE_TABLES] = "VmPTE",	[PROC_SWAP] = "VmSwap",
	[PROC_STACK] = "VmStk",	       [PROC_HUGETLB] = "HugetlbPages",
};

static void take_size(struct proc_status *s, const char *name, const char *value)
{
	for (int i = 0; i < PROC_SIZES; i++) {
		if (strcmp(name, size_names[i]))
			continue;
		s->size[i] = strtoull(value, NULL, 10) << 10;
		s->has_memory = true;
	}
}

static void take_line(struct proc_status *s, const char *name, const char *value)
{
	const char *last = strrchr(value, '\t');

	if (!strcmp(name, "Tgid"))
		s->tgid = atoi(value);
	else if (!strcmp(name, "NSpid") && last)
		s->ns_pid = atoi(last + 1);
	else if (!strcmp(name, "TracerPid"))
		s->tracer = atoi(value);
	else if (!strcmp(name, "Uid"))
		sscanf(value, "%u %u", &s->uid, &s->euid);
	else if (!strcmp(name, "Threads"))
		s->threads = strtoul(value, NULL, 10);
	else if (!strcmp(name, "Seccomp"))
		s->filters = atoi(value);
	else if (!strcmp(name, "x86_Thread_features"))
		s->shadow_stack = strstr(value, "shstk");
	else
		take_size(s, name, value);
}

void proc_status__parse(char *text, struct proc_status *ret)
{
	char *line, *save = NULL;

	memset(ret, 0, sizeof(*ret));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, ':');

		if (!value)
			continue;
		*value++ = 0;
		take_line(ret, line, value);
	}
}

int proc_status__read(pid_t pid, struct proc_status *ret)
{
	cleanup_free char *text = NULL;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	n = util__read_file(path, MAX_STATUS, &text);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	proc_status__parse(text, ret);
	return ret->tgid ? 0 : -ESRCH; /* ended while it was read */
}
