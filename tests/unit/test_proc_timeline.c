/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timelines of all processes where two hundred begin and end in a second: the dead and small give
 * way, the biggest and the growing never do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "core/util.h"
#include "probe/proc_timeline.h"
#include "probe/task_iter.h"

#define MIB (1ULL << 20)
#define ROOM 1000
#define FORKS 200

static struct mw_task_row row_of(uint32_t pid, uint64_t start_ns, uint64_t bytes, const char *comm)
{
	struct mw_task_row r = {.tgid = pid, .start_ns = start_ns, .anon_bytes = bytes};

	strncpy(r.comm, comm, sizeof(r.comm));
	return r;
}

static void ends(struct proc_timeline *t, const struct mw_task_row *r)
{
	struct mw_mm_ev ev = {.type = MW_MM_EXIT,
			      .tgid = r->tgid,
			      .start_ns = r->start_ns,
			      .anon_bytes = r->anon_bytes,
			      .rss_bytes = r->anon_bytes,
			      .peak_anon_bytes = r->anon_bytes,
			      .peak_time_ns = UINT64_MAX / 4};

	memcpy(ev.comm, r->comm, sizeof(ev.comm));
	proc_timeline__event(t, &ev);
}

static const struct timeline *find(struct proc_timeline *t, const char *name)
{
	const struct timeline *const *lines;
	size_t n = proc_timeline__all(t, &lines);

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(lines[i]->name, name))
			return lines[i];
	}
	return NULL;
}

static void churn(void **state)
{
	struct proc_timeline_opts o = {.external = true, .all = true, .max_processes = ROOM};
	struct mw_task_row rows[FORKS + 3];
	const struct timeline *const *lines;
	const struct timeline *line;
	struct proc_timeline *t;
	uint32_t pid = 1000;
	int64_t most;

	assert_int_equal(proc_timeline__new(&o, &t), 0);
	for (int second = 0; second < 120; second++) {
		struct task_rows pass = {.row = rows};

		rows[pass.n++] = row_of(10, 1, 50 * MIB, "server");
		if (second > 70) /* begins when the table has been full for long */
			rows[pass.n++] = row_of(20, 2, (uint64_t)(second - 70) * 2 * MIB, "grows");
		if (second == 5) /* large, and gone after a second */
			rows[pass.n++] = row_of(30, 3, 900 * MIB, "large");
		for (int i = 0; i < FORKS; i++, pid++)
			rows[pass.n++] = row_of(pid, pid, (1 + pid % 3) * MIB, "short");
		assert_true(proc_timeline__rows(t, &pass) >= 0);
		for (size_t i = 0; i < pass.n; i++) {
			if (rows[i].tgid >= 30)
				ends(t, &rows[i]);
		}
		assert_true(proc_timeline__all(t, &lines) <= ROOM);
	}
	line = find(t, "grows");
	assert_non_null(line);
	assert_int_equal(line->nrows, 49);
	assert_int_equal(line->rows[48].value[TIMELINE_RSS], 98 * MIB);
	assert_int_equal(find(t, "server")->nrows, 120);
	assert_non_null(find(t, "large"));
	assert_non_null(find(t, "short"));
	assert_true(proc_timeline__dropped(t, &most) > 20000);
	assert_int_equal(most, 3 * MIB);
	assert_int_equal(proc_timeline__rejected(t), 0);
	proc_timeline__free(t);
}

/* Where all live and none has much more than another, nothing is dropped, and those without room
 * are counted. */
static void all_live(void **state)
{
	struct proc_timeline_opts o = {.external = true, .all = true, .max_processes = 4};
	struct mw_task_row rows[6];
	struct task_rows pass = {.row = rows, .n = 6};
	const struct timeline *const *lines;
	struct proc_timeline *t;
	int64_t most;

	for (uint32_t i = 0; i < 6; i++)
		rows[i] = row_of(i + 1, i + 1, MIB, "x");
	assert_int_equal(proc_timeline__new(&o, &t), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(proc_timeline__rows(t, &pass), 4);
	assert_int_equal(proc_timeline__all(t, &lines), 4);
	assert_int_equal(proc_timeline__rejected(t), 2);
	assert_int_equal(proc_timeline__dropped(t, &most), 0);
	proc_timeline__free(t);
}

static struct proc_timeline *pass_of(struct proc_timeline *t, const struct mw_task_row *rows,
				     size_t n)
{
	struct task_rows pass = {.row = (struct mw_task_row *)rows, .n = n};

	assert_true(proc_timeline__rows(t, &pass) >= 0);
	return t;
}

/* Where all live, one that grows gets the place of one that is small and does not, and keeps it. */
static void live_and_small_give_way(void **state)
{
	struct proc_timeline_opts o = {.external = true, .all = true, .max_processes = 4};
	char news[PROC_TIMELINE_NEWS];
	struct mw_task_row rows[9];
	struct proc_timeline *t;
	int64_t most;

	assert_int_equal(proc_timeline__new(&o, &t), 0);
	for (uint32_t i = 0; i < 4; i++)
		rows[i] = row_of(i + 1, i + 1, MIB, "small");
	for (uint64_t i = 1; i <= 10; i++) {
		rows[4] = row_of(5, 5, i * MIB, "grows");
		pass_of(t, rows, 5);
	}
	assert_non_null(find(t, "grows"));
	assert_int_equal(find(t, "grows")->nrows, 9); /* from 2 MiB on */
	assert_int_equal(find(t, "small")->nrows, 10);
	assert_int_equal(proc_timeline__dropped(t, &most), 1);
	assert_int_equal(most, MIB);
	assert_int_equal(proc_timeline__rejected(t), 1);

	for (uint32_t i = 5; i < 9; i++)
		rows[i] = row_of(i + 1, UINT64_MAX / 2, 100 * MIB, "large");
	pass_of(t, rows, 9);
	assert_null(find(t, "small"));
	assert_int_equal(find(t, "grows")->nrows, 10);
	assert_int_equal(proc_timeline__dropped(t, &most), 4);
	assert_int_equal(proc_timeline__rejected(t), 2); /* the fourth of the large */

	/* both are told: once, and again only when there are more, a minute later */
	assert_string_equal(proc_timeline__news(t, 1000, news, sizeof(news)),
			    "4 processes with the least memory (at most 1.00MB) gave way to "
			    "others; 2 found no room at first or at all");
	assert_string_equal(proc_timeline__news(t, UINT64_MAX, news, sizeof(news)), "");
	rows[8] = row_of(10, UINT64_MAX / 2, 100 * MIB, "large");
	pass_of(t, rows, 9);
	assert_string_equal(proc_timeline__news(t, 2000, news, sizeof(news)), "");
	assert_string_not_equal(proc_timeline__news(t, 61000000000, news, sizeof(news)), "");
	pass_of(t, rows, 9);
	rows[8] = row_of(11, UINT64_MAX / 2, 100 * MIB, "large");
	pass_of(t, rows, 9);
	assert_string_not_equal(proc_timeline__news(t, UINT64_MAX, news, sizeof(news)), "");
	proc_timeline__free(t);
}

/* A process that execs is of another kind: what it has no columns for is not known of it. */
static void other_columns(void **state)
{
	static const char *const first[] = {"one_bytes"};
	static const char *const then[] = {"two_bytes", "three_bytes", "four_bytes"};
	struct proc_timeline_opts o = {.external = true, .all = true};
	struct mw_task_row row = row_of(10, 1, MIB, "execs");
	struct task_rows pass = {.row = &row, .n = 1};
	const struct timeline *line;
	struct proc_timeline *t;

	assert_int_equal(proc_timeline__new(&o, &t), 0);
	assert_int_equal(proc_timeline__more(t, 10, first, 1, (int64_t[]){7}), -ENOENT);
	assert_true(proc_timeline__rows(t, &pass) >= 0);
	assert_int_equal(proc_timeline__more(t, 10, first, 1, (int64_t[]){7}), 0);
	assert_true(proc_timeline__rows(t, &pass) >= 0);
	assert_int_equal(proc_timeline__more(t, 10, then, 3, (int64_t[]){1, 2, 3}), -EEXIST);
	assert_true(proc_timeline__rows(t, &pass) >= 0);
	line = find(t, "execs");
	assert_int_equal(line->nmore, 1);
	assert_string_equal(line->more_name[0], "one_bytes");
	assert_int_equal(line->rows[line->nrows - 2].more[0], 7);
	assert_int_equal(line->rows[line->nrows - 1].more[0], TIMELINE_UNKNOWN);
	proc_timeline__free(t);
}

/* The first row stands for who is gone before the next; who is met has the rows of the passes. */
static void brief(void **state)
{
	struct proc_timeline_opts o = {.external = true};
	struct mw_task_row met = row_of(10, 1, MIB, "met"),
			   missed = row_of(20, 2, 2 * MIB, "missed"),
			   told = row_of(30, 3, 3 * MIB, "told"), gone = row_of(40, 4, 0, "gone");
	struct mw_mm_ev end = {.type = MW_MM_EXIT, .tgid = 30, .start_ns = 3, .exit_code = 9};
	struct proc_timeline *t;

	assert_int_equal(proc_timeline__new(&o, &t), 0);
	gone.flags = MW_TASK_NO_MM; /* of its memory nothing is known */
	end.time_ns = util__now_ns();
	assert_int_equal(proc_timeline__add_seen(t, &met, end.time_ns), 0);
	assert_int_equal(proc_timeline__add_seen(t, &missed, end.time_ns), 0);
	assert_int_equal(proc_timeline__add_seen(t, &told, end.time_ns), 0);
	assert_int_equal(proc_timeline__add_seen(t, &gone, end.time_ns), 0);
	assert_int_equal(proc_timeline__add_seen(t, &gone, end.time_ns), -EEXIST);
	proc_timeline__event(t, &end);
	met.anon_bytes = 5 * MIB;
	pass_of(t, &met, 1);
	assert_int_equal(find(t, "met")->nrows, 1);
	assert_int_equal(find(t, "met")->rows[0].value[TIMELINE_RSS], 5 * MIB);
	assert_int_equal(find(t, "missed")->nrows, 1);
	assert_int_equal(find(t, "missed")->rows[0].value[TIMELINE_RSS], 2 * MIB);
	assert_string_equal(find(t, "missed")->marks[0].text, "ended");
	assert_int_equal(find(t, "told")->nrows, 1);
	assert_int_equal(find(t, "told")->rows[0].value[TIMELINE_RSS], 3 * MIB);
	assert_string_equal(find(t, "told")->marks[0].text, "killed by signal 9");
	assert_int_equal(find(t, "gone")->nrows, 0);
	pass_of(t, &met, 1);
	assert_int_equal(find(t, "met")->nrows, 2);
	assert_int_equal(find(t, "told")->nrows, 1);
	proc_timeline__free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(churn),
		cmocka_unit_test(all_live),
		cmocka_unit_test(live_and_small_give_way),
		cmocka_unit_test(other_columns),
		cmocka_unit_test(brief),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
