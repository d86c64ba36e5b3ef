/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/util.h"
#include "oom/finer.h"
#include "oom/oom_merge.h"
#include "oom/oom_record.h"
#include "oom/render.h"
#include "oom/tracker.h"
#include "sys/statm.h"
#include "sys/kmsg.h"

#define KIB 1024ULL

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

/* --- two witnesses, one record --- */

struct got {
	size_t n;
	struct oom_event last;
};
static void on_event(void *arg, struct oom_event *e)
{
	struct got *g = arg;

	g->n++;
	g->last = *e;
}
static void no_enrich(void *arg, struct oom_event *e)
{
}

static struct mw_ev_oom *probe_event(uint32_t pid, uint64_t time_ns)
{
	struct mw_ev_oom *ev = calloc(1, sizeof(*ev));

	ev->time_ns = time_ns;
	ev->kind = MW_OOM_KERNEL;
	ev->signal = 9;
	ev->victim.pid = ev->victim.tgid = pid;
	ev->victim.anon = 4064;
	strcpy(ev->victim.comm, "hog");
	ev->victim.nlevels = 3;
	strcpy(ev->victim_cgroup[0].name, "b");
	strcpy(ev->victim_cgroup[1].name, "a");
	ev->victim_cgroup[0].max = ev->victim_cgroup[2].max = INT64_MAX / 4096;
	ev->victim_cgroup[0].swap_max = ev->victim_cgroup[1].swap_max =
		ev->victim_cgroup[2].swap_max = INT64_MAX / 4096;
	ev->victim_cgroup[1].max = 4096;
	ev->victim_cgroup[1].usage = 4090;
	return ev;
}

static const struct merge_options both = {
	.has_probe = true, .has_kmsg = true, .version = 1, .page_bytes = 4096};
#define SEC 1000000000ULL

static void merge_both(void **state)
{
	struct mw_ev_oom *ev = probe_event(21207, 10 * SEC);
	struct kmsg_parser p;
	struct got g = {};
	struct oom_merge *m;

	assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, memcg_618));
	/* probe first */
	oom_merge__probe(m, ev, 10 * SEC, 1000000, no_enrich);
	assert_int_equal(g.n, 0);
	assert_true(oom_merge__due(m) > 10 * SEC);
	oom_merge__kmsg(m, &p.cur, true, 10 * SEC + 1000, 1000000, no_enrich);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.last.from, OOM_FROM_PROBE | OOM_FROM_KMSG);
	assert_string_equal(g.last.victim.cgroup, "/a/b");
	assert_string_equal(g.last.memcg, "/a");
	assert_int_equal(g.last.limit_bytes, 16 << 20);
	assert_int_equal(g.last.ntasks, 2);
	assert_int_equal(g.last.time_unix_ms, 1000000);
	/* the log first */
	ev->time_ns = 100 * SEC;
	oom_merge__kmsg(m, &p.cur, true, 100 * SEC, 1090000, no_enrich);
	assert_int_equal(g.n, 1);
	oom_merge__probe(m, ev, 100 * SEC + 500, 1090000, no_enrich);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.last.from, OOM_FROM_PROBE | OOM_FROM_KMSG);
	assert_int_equal(oom_merge__due(m), UINT64_MAX);
	oom_merge__free(m);
	free(ev);
}

/* The log without its report: limit and group come from the probe, whichever is first. */
static void merge_without_report(void **state)
{
	static const char killed[] =
		"Memory cgroup out of memory: Killed process 21207 (hog) total-vm:8kB, "
		"anon-rss:4kB, "
		"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";
	static const char machine_wide[] =
		"Out of memory: Killed process 21207 (hog) total-vm:8kB, anon-rss:4kB, "
		"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";

	for (int log_first = 0; log_first < 2; log_first++) {
		for (int wide = 0; wide < 2; wide++) {
			struct mw_ev_oom *ev = probe_event(21207, 10 * SEC);
			struct kmsg_parser p;
			struct got g = {};
			struct oom_merge *m;

			assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
			kmsg_parser__init(&p, 4096);
			assert_true(kmsg_parser__feed(&p, wide ? machine_wide : killed, 500, 1));
			if (log_first)
				oom_merge__kmsg(m, &p.cur, true, 10 * SEC, 0, no_enrich);
			oom_merge__probe(m, ev, 10 * SEC, 0, no_enrich);
			if (!log_first)
				oom_merge__kmsg(m, &p.cur, true, 10 * SEC, 0, no_enrich);
			assert_int_equal(g.n, 1);
			assert_int_equal(g.last.from, OOM_FROM_PROBE | OOM_FROM_KMSG);
			assert_int_equal(g.last.victim.anon_rss_bytes, 4096);
			assert_int_equal(g.last.constraint,
					 wide ? OOM_CONSTRAINT_NONE : OOM_CONSTRAINT_MEMCG);
			assert_string_equal(g.last.memcg, wide ? "" : "/a");
			if (!wide) {
				assert_int_equal(g.last.limit_bytes, 16 << 20);
				assert_int_equal(g.last.usage_bytes, 4090 * 4096);
			}
			oom_merge__free(m);
			free(ev);
		}
	}
}

static void merge_alone_and_late(void **state)
{
	struct mw_ev_oom *ev = probe_event(21207, 10 * SEC);
	struct kmsg_parser p;
	struct got g = {};
	struct oom_merge *m;

	assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, memcg_618));
	oom_merge__probe(m, ev, 10 * SEC, 0, no_enrich);
	oom_merge__tick(m, 10 * SEC + MERGE_WAIT_KMSG_NS - 1);
	assert_int_equal(g.n, 0);
	oom_merge__tick(m, 10 * SEC + MERGE_WAIT_KMSG_NS);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.last.from, OOM_FROM_PROBE);
	assert_string_equal(g.last.memcg, "/a"); /* nearest to its limit */
	assert_int_equal(g.last.limit_bytes, 16 << 20);
	/* the line comes after all: no second record */
	oom_merge__kmsg(m, &p.cur, true, 11 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_int_equal(g.n, 1);
	/* the past is reported as it stands */
	oom_merge__kmsg(m, &p.cur, false, 12 * SEC, 50000, no_enrich);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.last.from, OOM_FROM_KMSG);
	assert_in_range(g.last.time_unix_ms, 43000, 43001);
	oom_merge__free(m);
	free(ev);
}

static struct mw_oom_stall stall_of(uint64_t n)
{
	return (struct mw_oom_stall){.cnt = {n, n + 1},
				     .ns = {n * 1000000, (n + 1) * 1000000},
				     .pages = {n * 2, n * 2 + 2}};
}

/* The group whose stalls are told is the one that hit its limit, whoever says so last. */
static void merge_stalls(void **state)
{
	struct merge_options o = both;
	struct mw_ev_oom *ev = probe_event(21207, 100 * SEC);
	struct kmsg_parser p;
	struct got g = {};
	struct oom_merge *m;

	o.has_reclaim = true;
	o.stalls_since_ns = 87 * SEC + SEC / 2;
	ev->victim_cgroup[0].reclaim = stall_of(100);
	ev->victim_cgroup[1].reclaim = stall_of(200);
	ev->machine_reclaim = stall_of(300);
	ev->victim_reclaim = stall_of(50);
	ev->score = (struct mw_oom_writer){97 * SEC, 1, 21207, 500, 0, "systemd"};
	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, memcg_618));
	for (int log_first = 0; log_first < 2; log_first++) {
		assert_int_equal(oom_merge__new(&o, on_event, &g, &m), 0);
		/* The probe would take the inner group; the log knows that it was the outer. */
		ev->victim_cgroup[0].max = ev->victim_cgroup[0].usage = 5000;
		if (log_first)
			oom_merge__kmsg(m, &p.cur, true, 100 * SEC, 1000000, no_enrich);
		oom_merge__probe(m, ev, 100 * SEC, 1000000, no_enrich);
		if (!log_first)
			oom_merge__kmsg(m, &p.cur, true, 100 * SEC, 1000000, no_enrich);
		assert_int_equal(g.n, log_first + 1);
		assert_string_equal(g.last.stalls.group_path, "/a");
		assert_int_equal(g.last.stalls.group.cnt[0], 200);
		assert_int_equal(g.last.stalls.group.cnt[1], 201);
		assert_int_equal(g.last.stalls.group.bytes[1], 402 * 4096);
		assert_int_equal(g.last.stalls.machine.ns[0], 300 * 1000000ULL);
		assert_int_equal(g.last.stalls.victim.cnt[0], 50);
		assert_int_equal(g.last.stalls.watched_s, 13); /* 12.5 */
		assert_true(g.last.stalls.has_reclaim && !g.last.stalls.has_compaction);
		assert_int_equal(g.last.score.pid, 1);
		assert_int_equal(g.last.score.time_unix_ms, 1000000 - 3000);
		assert_string_equal(g.last.score.comm, "systemd");
		oom_merge__free(m);
	}
	/* The machine: the victim's own group. */
	assert_int_equal(oom_merge__new(&o, on_event, &g, &m), 0);
	ev->victim_cgroup[0].max = ev->victim_cgroup[1].max = INT64_MAX / 4096;
	oom_merge__probe(m, ev, 100 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_string_equal(g.last.memcg, "");
	assert_string_equal(g.last.stalls.group_path, "/a/b");
	assert_int_equal(g.last.stalls.group.cnt[0], 100);
	/* No group above the root, no group. */
	ev->victim.pid = ev->victim.tgid = 5;
	ev->victim.nlevels = 1;
	ev->victim_cgroup[0].name[0] = 0;
	oom_merge__probe(m, ev, 100 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_string_equal(g.last.stalls.group_path, "");
	oom_merge__free(m);
	free(ev);
}

/* memory.oom.group: the kernel goes through the whole group and names the first victim twice; a
 * victim whose main thread has ended is named by another thread. */
static void merge_by_process(void **state)
{
	static const char again[] =
		"Memory cgroup out of memory: Killed process 21207 (hog) total-vm:8kB, "
		"anon-rss:4kB, "
		"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";
	static const char thread[] =
		"Memory cgroup out of memory: Killed process 90 (hog) total-vm:8kB, anon-rss:4kB, "
		"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";
	struct mw_ev_oom *ev = probe_event(21207, 10 * SEC);

	for (int log_first = 0; log_first < 2; log_first++) {
		struct kmsg_parser p;
		struct got g = {};
		struct oom_merge *m;

		ev->victim.pid = ev->victim.tgid = 21207;
		assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
		kmsg_parser__init(&p, 4096);
		assert_true(FEED(&p, memcg_618));
		for (int twice = 0; twice < 2; twice++) {
			if (log_first)
				oom_merge__kmsg(m, &p.cur, true, 10 * SEC, 0, no_enrich);
			else
				oom_merge__probe(m, ev, 10 * SEC, 0, no_enrich);
		}
		assert_int_equal(g.n, 0);
		if (log_first) {
			oom_merge__probe(m, ev, 10 * SEC, 0, no_enrich);
			oom_merge__probe(m, ev, 10 * SEC, 0, no_enrich);
		} else {
			oom_merge__kmsg(m, &p.cur, true, 10 * SEC, 0, no_enrich);
			assert_true(kmsg_parser__feed(&p, again, 501, 1));
			oom_merge__kmsg(m, &p.cur, true, 10 * SEC, 0, no_enrich);
		}
		oom_merge__flush(m);
		assert_int_equal(g.n, 1);
		assert_int_equal(g.last.from, OOM_FROM_PROBE | OOM_FROM_KMSG);
		/* process 80, named by its thread 90 */
		ev->victim.tgid = 80;
		ev->victim.pid = 90;
		assert_true(kmsg_parser__feed(&p, thread, 502, 1));
		oom_merge__probe(m, ev, 11 * SEC, 0, no_enrich);
		oom_merge__kmsg(m, &p.cur, true, 11 * SEC, 0, no_enrich);
		oom_merge__flush(m);
		assert_int_equal(g.n, 2);
		assert_int_equal(g.last.victim.pid, 80);
		oom_merge__free(m);
	}
	free(ev);
}

/* Nobody to kill, again and again: the first, and after a while the number of the others. */
static void merge_without_victim(void **state)
{
	static const char *const lines[] = {
		"dd invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-1000",
		"memory: usage 16384kB, limit 16384kB, failcnt 22",
		"Memory cgroup stats for /a: b:",
		"anon 1048576",
		"shmem 12582912",
		"Out of memory and no killable processes...",
	};
	struct kmsg_parser p;
	struct got g = {};
	struct oom_merge *m;

	assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
	kmsg_parser__init(&p, 4096);
	for (uint64_t i = 0; i < 1309; i++) {
		assert_true(FEED(&p, lines));
		assert_true(p.cur.no_victim && p.cur.is_memcg);
		assert_string_equal(p.cur.oom_memcg, "/a: b");
		oom_merge__kmsg(m, &p.cur, true, 10 * SEC + i * 1000000, 0, no_enrich);
		assert_int_equal(g.n, 1);
	}
	assert_true(g.last.no_victim);
	assert_int_equal(g.last.repeats, 0);
	assert_int_equal(g.last.stat.bytes[CGROUP_STAT_SHMEM], 12 << 20);
	assert_int_equal(oom_merge__due(m), 10 * SEC + MERGE_FUTILE_NS);
	oom_merge__tick(m, 10 * SEC + MERGE_FUTILE_NS);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.last.repeats, 1308);
	assert_int_equal(g.last.first_seq, 105); /* as FEED numbers them */
	assert_int_equal(g.last.seq, 105);
	assert_int_equal(g.last.time_ns, 10 * SEC + 1308 * 1000000ULL);
	assert_int_equal(g.last.stat.bytes[CGROUP_STAT_SHMEM], 12 << 20);
	/* and it can begin again */
	oom_merge__kmsg(m, &p.cur, true, 100 * SEC, 0, no_enrich);
	assert_int_equal(g.n, 3);
	oom_merge__flush(m);
	assert_int_equal(g.n, 3);
	oom_merge__free(m);
}

/* memwatch was held up: the log's line is read long after the kill was handed on alone. */
static void merge_after_a_halt(void **state)
{
	struct got g = {};
	struct kmsg_parser p;
	struct oom_merge *m;
	struct mw_ev_oom *ev = probe_event(21207, 10 * SEC);

	assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
	kmsg_parser__init(&p, 4096);
	assert_true(FEED(&p, memcg_618));
	oom_merge__probe(m, ev, 60 * SEC, 0, no_enrich);
	oom_merge__tick(m, 61 * SEC);
	assert_int_equal(g.n, 1);
	oom_merge__kmsg(m, &p.cur, true, 62 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_int_equal(g.n, 1);
	/* The pid is used again and killed again, at once. */
	ev->victim.start_ns = 5 * SEC;
	ev->time_ns = 63 * SEC;
	oom_merge__probe(m, ev, 63 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_int_equal(g.n, 1); /* may be the same */
	ev->time_ns = 90 * SEC;
	oom_merge__probe(m, ev, 90 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_int_equal(g.n, 2);
	ev->victim.start_ns = 91 * SEC;
	ev->time_ns = 92 * SEC;
	oom_merge__probe(m, ev, 92 * SEC, 0, no_enrich);
	oom_merge__flush(m);
	assert_int_equal(g.n, 3);
	oom_merge__free(m);
	free(ev);
}

/* What was seen of a pid before its process began was another's. */
static void tracker_and_reused_pids(void **state)
{
	struct oom_event *e = calloc(1, sizeof(*e));
	struct tracker *t;

	assert_int_equal(tracker__new(&t), 0);
	for (int i = 0; i < 3; i++)
		tracker__sample(t, util__now_ns(), util__wall_ms());
	e->victim.pid = getpid();
	e->victim.anon_rss_bytes = OOM_UNKNOWN;
	tracker__describe(t, e);
	assert_int_equal(e->npoints, 3);
	assert_non_null(strstr(e->victim.cmdline, "test_oom"));
	e->victim.cmdline[0] = 0;
	e->victim.start_ns = 1; /* not ours: /proc is not asked, the passes were later */
	tracker__describe(t, e);
	assert_int_equal(e->npoints, 3);
	assert_non_null(strstr(e->victim.cmdline, "test_oom"));
	e->victim.cmdline[0] = 0;
	e->victim.start_ns = util__boot_ns();
	tracker__describe(t, e);
	assert_int_equal(e->npoints, 0);
	assert_string_equal(e->victim.cmdline, "");
	tracker__free(t);
	free(e);
}

/* Who knows all sizes tells them: none are read from /proc while that goes on. */
static void tracker_is_told_sizes(void **state)
{
	struct oom_event *e = calloc(1, sizeof(*e));
	uint64_t now = 1000 * TRACKER_INTERVAL_NS;
	struct tracker *t;

	assert_int_equal(tracker__new(&t), 0);
	for (int i = 1; i <= 3; i++) {
		assert_true(tracker__offer(t, now));
		tracker__begin(t, now, i);
		tracker__see(t, 1 << 30, &(struct statm){.virt = 9 << 20, .rss = i << 20});
		tracker__end(t);
		for (int k = 1; k < 4; k++)
			assert_false(tracker__offer(t, now + k * TRACKER_INTERVAL_NS / 5));
		assert_true(tracker__due(t) > now + TRACKER_INTERVAL_NS);
		now += TRACKER_INTERVAL_NS;
	}
	e->victim.pid = 1 << 30;
	e->victim.anon_rss_bytes = OOM_UNKNOWN;
	tracker__describe(t, e);
	assert_int_equal(e->npoints, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(e->timeline[i].virt_bytes, 9 << 20);
		assert_int_equal(e->timeline[i].rss_bytes, (i + 1) << 20);
	}
	tracker__sample(t, now, 4); /* the others have ended: it is not among those of /proc */
	tracker__describe(t, e);
	assert_int_equal(e->npoints, 0);
	tracker__free(t);
	free(e);
}

static void merge_overflow(void **state)
{
	struct got g = {};
	struct oom_merge *m;

	assert_int_equal(oom_merge__new(&both, on_event, &g, &m), 0);
	for (uint32_t i = 0; i < 10 * MERGE_PENDING; i++) {
		struct mw_ev_oom *ev = probe_event(1000 + i, 10 * SEC + i);

		oom_merge__probe(m, ev, 10 * SEC + i, 0, no_enrich);
		free(ev);
	}
	oom_merge__flush(m);
	assert_int_equal(g.n, 10 * MERGE_PENDING);
	oom_merge__free(m);
}

/* --- rendering and reading back --- */

static void round_trip(void **state)
{
	struct oom_event *e = calloc(1, sizeof(*e)), *back = calloc(1, sizeof(*back));
	static const char alert[] = "{\"schema\":\"memwatch.alert/1\"}";
	static const char odd[] = "{\"schema\":\"memwatch.oom/1\",\"victim\":3}";
	struct textbuf b = {};

	oom_event__init(e);
	e->time_unix_ms = 1795231711383;
	e->seq = 42;
	e->has_constraint = true;
	e->has_stat = true;
	e->stat.bytes[CGROUP_STAT_SHMEM] = 36 << 20;
	e->ntmpfs = 1;
	strcpy(e->tmpfs[0].path, "/dev/s\x1bhm");
	e->tmpfs[0].used_bytes = 35 << 20;
	e->from = OOM_FROM_KMSG;
	e->signal = 9;
	e->constraint = OOM_CONSTRAINT_CPUSET;
	e->victim.pid = e->victim.tid = 7;
	e->victim.uid = UINT32_MAX;
	e->victim.oom_score_adj = -999;
	e->victim.swap_bytes = OOM_UNKNOWN;
	e->victim.anon_rss_bytes = 123;
	strcpy(e->victim.comm, "a\"b\x01\xff\n");
	strcpy(e->victim.cgroup, "/x\x1b[31m");
	e->limit_bytes = OOM_NO_LIMIT;
	strcpy(e->memcg, "/m");
	strcpy(e->boot_id, "b");
	e->ntasks = 1;
	e->tasks[0].tgid = 3;
	e->tasks[0].rss_bytes = 9;
	e->npoints = 1;
	e->timeline[0].rss_bytes = 5;
	e->stalls.has_reclaim = true;
	e->stalls.watched_s = 60;
	strcpy(e->stalls.group_path, "/m\"\x1b");
	e->stalls.group = (struct oom_stall){{0, 42}, {0, 3100000000}, {0, 12 << 20}};
	e->stalls.machine = e->stalls.victim = e->stalls.group;
	e->score = (struct oom_writer){1, 7, "sys\x1btemd", e->time_unix_ms - 3000};
	assert_int_equal(render__reserve(&b), 0);
	assert_int_equal(render__json(&b, e), 0);
	assert_ptr_equal(strchr(b.text, '\n'), b.text + b.len - 1);
	assert_int_equal(oom_record__parse(b.text, b.len, back), 0);
	assert_int_equal(back->time_unix_ms, e->time_unix_ms);
	assert_int_equal(back->seq, 42);
	assert_int_equal(back->from, OOM_FROM_KMSG);
	assert_int_equal(back->constraint, OOM_CONSTRAINT_CPUSET);
	assert_int_equal(back->victim.oom_score_adj, -999);
	assert_int_equal(back->victim.uid, UINT32_MAX);
	assert_int_equal(back->victim.swap_bytes, OOM_UNKNOWN);
	assert_string_equal(back->memcg, "/m");
	assert_true(back->has_time && back->has_constraint && !back->no_victim);
	assert_memory_equal(&back->stat, &e->stat, sizeof(e->stat));
	assert_int_equal(back->ntmpfs, 1);
	assert_int_equal(back->tmpfs[0].used_bytes, 35 << 20);
	assert_string_equal(back->boot_id, "b");
	assert_int_equal(back->ntasks, 1);
	assert_int_equal(back->timeline[0].rss_bytes, 5);
	assert_memory_equal(&back->stalls, &e->stalls, sizeof(e->stalls));
	assert_int_equal(back->score.time_unix_ms, e->score.time_unix_ms);
	assert_int_equal(back->score.pid, 1);
	textbuf__reset(&b);
	assert_int_equal(render__text(&b, e), 0);
	assert_null(strchr(b.text, 0x1b));
	assert_non_null(strstr(b.text, "pid 7"));
	assert_non_null(strstr(b.text, "reclaim   in the 60 s before, in cgroup /m"));
	assert_non_null(strstr(b.text, ": 42 direct reclaims, 3.1s stalled, 12.00MB freed\n"));
	assert_non_null(strstr(b.text, "score     oom_score_adj -999, set 3.0s before by sys"));
	/* any prefix is refused, not misread */
	textbuf__reset(&b);
	assert_int_equal(render__json(&b, e), 0);
	for (size_t n = 0; n < b.len - 2; n++)
		assert_int_equal(oom_record__parse(b.text, n, back), -EBADMSG);
	assert_int_equal(oom_record__parse(alert, strlen(alert), back), -ENOMSG);
	assert_int_equal(oom_record__parse(odd, strlen(odd), back), -EBADMSG);
	textbuf__free(&b);
	free(e);
	free(back);
}

static void slopes(void **state)
{
	struct oom_point p[5];

	for (int i = 0; i < 5; i++)
		p[i] = (struct oom_point){.time_unix_ms = 1000000 + 2000 * i,
					  .rss_bytes = 1000 + 500 * i};
	assert_float_equal(tracker__slope(p, 5), 250, 1e-6);
	assert_float_equal(tracker__slope(p, 1), 0, 0);
}

/* A run's rows, ten a second for `n` rows, up to the kill; then the exit's. */
static void fine_rows(struct timeline *t, size_t n, int64_t kill_ms)
{
	timeline__init(t, 7, "hog", 8192);
	for (size_t i = 0; i <= n; i++) {
		struct timeline_row r = timeline__row(kill_ms - 100 * (int64_t)(n - i));

		r.value[TIMELINE_VIRT] = i == n ? 0 : 8192;
		r.value[TIMELINE_RSS] = i == n ? 0 : 4096 + (int64_t)i;
		r.value[TIMELINE_RSS_FILE] = 5;
		assert_int_equal(timeline__append(t, &r), 0);
	}
}

static void finer_timelines(void **state)
{
	static const size_t sizes[] = {2, 10, 63, 64, 65, 500, 7000};
	struct oom_event *e = calloc(1, sizeof(*e));

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct timeline t;
		const struct oom_point *p = e->timeline;

		fine_rows(&t, sizes[k], 1000000);
		e->time_unix_ms = 1000000;
		e->npoints = 2; /* the tracker's, the last from the kill itself */
		e->timeline[0] = (struct oom_point){.time_unix_ms = 995000, .rss_bytes = 1};
		e->timeline[1] = (struct oom_point){.time_unix_ms = 1000000, .rss_bytes = 9999};
		finer__timeline(e, NULL, 0);
		assert_int_equal(e->npoints, 2);
		finer__timeline(e, &t, 0);
		assert_int_equal(e->npoints, sizes[k] < 63 ? sizes[k] + 1 : 64);
		assert_int_equal(p[e->npoints - 1].rss_bytes, 9999);
		assert_true(p[0].time_unix_ms >= 1000000 - FINER_SPAN_MS);
		for (size_t i = 1; i < e->npoints; i++)
			assert_true(p[i].time_unix_ms > p[i - 1].time_unix_ms);
		for (size_t i = 0; i + 1 < e->npoints; i++)
			assert_int_equal(p[i].shared_bytes, 5);
		if (sizes[k] > 63) { /* the newest are all there */
			assert_int_equal(p[62].time_unix_ms, 999900);
			assert_int_equal(p[31].time_unix_ms, 1000000 - 3200);
		}
		timeline__clear(&t);
	}
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memcg_report),
		cmocka_unit_test(machine_report),
		cmocka_unit_test(kills_without_context),
		cmocka_unit_test(hostile_lines),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(raw_records),
		cmocka_unit_test(merge_both),
		cmocka_unit_test(merge_without_report),
		cmocka_unit_test(merge_alone_and_late),
		cmocka_unit_test(merge_stalls),
		cmocka_unit_test(merge_by_process),
		cmocka_unit_test(merge_without_victim),
		cmocka_unit_test(merge_after_a_halt),
		cmocka_unit_test(tracker_and_reused_pids),
		cmocka_unit_test(tracker_is_told_sizes),
		cmocka_unit_test(merge_overflow),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(slopes),
		cmocka_unit_test(finer_timelines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
