/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kill as text and JSON, read back; how its victim grew. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "oom/finer.h"
#include "oom/oom_record.h"
#include "oom/render.h"
#include "oom/tracker.h"

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
		cmocka_unit_test(round_trip),
		cmocka_unit_test(slopes),
		cmocka_unit_test(finer_timelines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
