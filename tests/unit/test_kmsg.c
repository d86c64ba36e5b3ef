/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own words of OOM kills, and of who could not be killed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kmsg_report.h"

#define KIB 1024ULL

static void memcg_report(void **state)
{
	struct kmsg_parser p;
	const struct kmsg_kill *k = &p.cur;

	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, memcg_618));
	assert_int_equal(k->pid, 21207);
	assert_int_equal(k->seq, 111);
	assert_string_equal(k->comm, "hog");
	assert_int_equal(k->anon_rss_bytes, 16256 * KIB);
	assert_int_equal(k->file_rss_bytes, 952 * KIB);
	assert_int_equal(k->pgtables_bytes, 76 * KIB);
	assert_true(k->has_context && k->is_memcg && !k->is_group);
	assert_int_equal(k->constraint, OOM_CONSTRAINT_MEMCG);
	assert_string_equal(k->oom_memcg, "/a");
	assert_string_equal(k->task_memcg, "/a/b,c");
	assert_string_equal(k->trigger_comm, "hog");
	assert_int_equal(k->trigger_pid, 21207);
	assert_int_equal(k->usage_bytes, 16384 * KIB);
	assert_int_equal(k->limit_bytes, 16384 * KIB);
	assert_int_equal(k->ntasks, 2);
	assert_int_equal(k->tasks[0].pid, 21207);
	assert_string_equal(k->tasks[0].comm, "a name");
	assert_int_equal(k->tasks[0].rss_bytes, 4302 * 4096);
	assert_int_equal(k->tasks[1].swap_bytes, 3 * 4096);
	assert_int_equal(k->tasks[1].oom_score_adj, -17);
}

/* As written by 5.10: no split columns, a machine-wide kill. */
static void machine_report(void **state)
{
	static const char *const lines[] = {
		"my (odd) prog invoked oom-killer: gfp_mask=0x1100dca(GFP_HIGHUSER_MOVABLE), "
		"order=0, "
		"oom_score_adj=200",
		"CPU: 0 PID: 17 Comm: my (odd) prog Not tainted 5.10.0-46-cloud-amd64 #1 Debian",
		"active_anon:24 inactive_anon:103 isolated_anon:0 free:1320 free_pcp:62 free_cma:0",
		" free:1320 free_pcp:62 free_cma:0",
		"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj "
		"name",
		"[     17]  1000    17   250000   100000   860160        0           200 my (odd) "
		"prog",
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/"
		",mems_allowed=0,global_oom,"
		"task_memcg=/,task=my (odd) prog,pid=17,uid=1000",
		"Out of memory: Killed process 17 (my (odd) prog) total-vm:1000000kB, "
		"anon-rss:400000kB, "
		"file-rss:4kB, shmem-rss:0kB, UID:1000 pgtables:840kB oom_score_adj:200",
	};
	struct kmsg_parser p;

	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, lines));
	assert_int_equal(p.cur.constraint, OOM_CONSTRAINT_NONE);
	assert_false(p.cur.is_memcg);
	assert_string_equal(p.cur.comm, "my (odd) prog");
	assert_string_equal(p.cur.trigger_comm, "my (odd) prog");
	assert_string_equal(p.cur.oom_memcg, "");
	assert_string_equal(p.cur.task_memcg, "/");
	assert_int_equal(p.cur.free_bytes, 1320 * 4096);
	assert_int_equal(p.cur.uid, 1000);
	assert_int_equal(p.cur.oom_score_adj, 200);
	assert_int_equal(p.cur.tasks[0].rss_bytes, 100000 * 4096ULL);
}

/* Beyond the rate limit there is only the last line; a group is killed under one context. */
static void kills_without_context(void **state)
{
	static const char line[] =
		"Memory cgroup out of memory: Killed process 9 (x) total-vm:8kB, anon-rss:4kB, "
		"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";
	struct kmsg_parser p;

	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, memcg_618));
	assert_true(kmsg_parser__feed(&p, line, 500, 1));
	assert_false(p.cur.has_context);
	assert_string_equal(p.cur.oom_memcg, "");
	assert_int_equal(p.cur.limit_bytes, KMSG_NONE);
	assert_int_equal(p.cur.constraint, OOM_CONSTRAINT_MEMCG);

	assert_true(FEED(&p, memcg_618));
	assert_false(kmsg_parser__feed(
		&p, "Tasks in /a are going to be killed due to memory.oom.group set", 501, 1));
	assert_true(kmsg_parser__feed(&p, line, 502, 1));
	assert_true(p.cur.is_group);
	assert_string_equal(p.cur.oom_memcg, "/a");
}

/* Nothing but the kernel's exact words is a kill; and nothing crashes. */
static void hostile_lines(void **state)
{
	static const char *const lines[] = {
		"",
		":",
		"[",
		"[  pid  ]",
		"Out of memory: Killed process",
		" invoked oom-killer: ",
		"Out of memory: Killed process 1",
		"Out of memory: Killed process x (y) total-vm:1kB",
		"Out of memory: Killed process 99999999999999999999 (y) total-vm:1kB",
		"oom-kill:constraint=",
		"oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=,task_memcg=",
		"memory: usage",
		"CPU: 0 PID: ",
		"[  pid  ] rss_anon ",
		"[  1]",
		"[  1] 2 3 4",
		"someone said: Killed process 5 (a) total-vm:1kB",
	};
	struct kmsg_parser p;

	kmsg_parser__init(&p, 4096);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
			assert_false(kmsg_parser__feed(&p, lines[i], i, i));
	}
	assert_true(FEED(&p, memcg_618));
	/* every prefix of every line of a report */
	for (size_t i = 0; i < sizeof(memcg_618) / sizeof(memcg_618[0]); i++) {
		for (size_t n = 0; n < strlen(memcg_618[i]); n++) {
			char *cut = strndup(memcg_618[i], n);

			kmsg_parser__feed(&p, cut, 1, 1);
			free(cut);
		}
	}
}

static void long_names_are_cut(void **state)
{
	char line[4096], path[2000];
	struct kmsg_parser p;

	memset(path, 'p', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	kmsg_parser__init(&p, 4096);
	snprintf(line, sizeof(line),
		 "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=%s,task_memcg=/"
		 "x,task=a,pid=1,uid=0",
		 path);
	assert_false(kmsg_parser__feed(&p, line, 1, 1));
	assert_int_equal(strlen(p.cur.oom_memcg), KMSG_PATH - 1);
	assert_string_equal(p.cur.task_memcg, "/x");
}

static void raw_records(void **state)
{
	char good[] = "3,424,2499876651,-,caller=T1;Killed \\x0a\\x5c (x)\n SUBSYSTEM=acpi\n";
	char plain[] = "30,7,8,-;user space";
	char bad[][24] = {"", "nonsense", "3;x", "3,4;x", "a,b,c;x", "3,,4,-;x"};
	uint64_t seq, time_us;
	unsigned facility;
	const char *text;

	assert_int_equal(kmsg__split(good, &seq, &time_us, &facility, &text), 0);
	assert_int_equal(seq, 424);
	assert_int_equal(time_us, 2499876651);
	assert_int_equal(facility, 0);
	assert_string_equal(text, "Killed \n\\ (x)");
	assert_int_equal(kmsg__split(plain, &seq, &time_us, &facility, &text), 0);
	assert_int_equal(facility, 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kmsg__split(bad[i], &seq, &time_us, &facility, &text), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memcg_report),		 cmocka_unit_test(machine_report),
		cmocka_unit_test(kills_without_context), cmocka_unit_test(hostile_lines),
		cmocka_unit_test(long_names_are_cut),	 cmocka_unit_test(raw_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
