/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kmsg_report.h - what a kernel writes of a kill, for tests that read it. */
#ifndef TESTS_KMSG_REPORT_H
#define TESTS_KMSG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "sys/kmsg.h"

static bool feed(struct kmsg_parser *p, const char *const *lines, size_t n)
{
	bool done = false;

	for (size_t i = 0; i < n; i++)
		done = kmsg_parser__feed(p, lines[i], 100 + i, 5000000 + i);
	return done;
}
#define FEED(p, lines) feed(p, lines, sizeof(lines) / sizeof(lines[0]))

/* As written by 6.18 with version 1 cgroups. */
static const char *const memcg_618[] = {
	"hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
	"CPU: 1 UID: 0 PID: 21207 Comm: hog Not tainted 6.18.44 #1 PREEMPT(full) ",
	"memory: usage 16384kB, limit 16384kB, failcnt 22",
	"memory+swap: usage 16384kB, limit 9007199254740988kB, failcnt 0",
	"Memory cgroup stats for /a:",
	"anon 16617472",
	"Tasks state (memory values in pages):",
	"[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes "
	"swapents "
	"oom_score_adj name",
	"[  21206]     0 21206      700      100       90       10         0    45056        3     "
	"     "
	"-17 sh",
	"[  21207]     0 21207     4731     4302     4064      238         0    77824        0     "
	"        "
	"0 a name",
	"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,"
	"task_memcg=/a/b,c,task=hog,pid=21207,uid=0",
	"Memory cgroup out of memory: Killed process 21207 (hog) total-vm:18924kB, "
	"anon-rss:16256kB, "
	"file-rss:952kB, shmem-rss:0kB, UID:0 pgtables:76kB oom_score_adj:0",
};

#endif
