/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two witnesses of a kill and one record of it; what the victim was before. */
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
#include "kmsg_report.h"
#include "oom/oom_merge.h"
#include "oom/tracker.h"
#include "sys/statm.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
