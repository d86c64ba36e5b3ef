/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/top.h"

#include "core/util.h"

static void on_event(void *arg, const struct mw_mm_ev *ev)
{
	struct top *t = arg;

	table__event(&t->table, ev);
	if (t->timeline)
		proc_timeline__event(t->timeline, ev);
}

int top__tick(struct top *t)
{
	const struct task_rows *rows;
	double now, before = t->seconds;
	int err = mm_probe__pass(t->probe, &rows);

	if (err)
		return err;
	err = mm_probe__events(t->probe, on_event, t);
	if (err < 0)
		return err;
	if (t->timeline) {
		err = proc_timeline__rows(t->timeline, rows);
		if (err < 0)
			return err;
	}
	now = util__now_ns() / 1e9;
	/* A suspended machine or a starved memwatch leaves a gap; it is told, not bridged. */
	t->gap_seconds = before && now - before > 3 * t->interval_ns / 1e9 ? now - before : 0;
	t->seconds = now;
	t->time_unix_ms = util__wall_ms();
	err = machine__read(&t->machine);
	if (err)
		return err;
	t->table.total_pages = (t->machine.total_bytes + t->machine.swap_total_bytes) /
			       sysconf(_SC_PAGESIZE);
	err = table__update(&t->table, rows->row, rows->n, now);
	if (err)
		return err;
	t->ticks++;
	return view__arrange(&t->view, &t->table);
}

bool top__done(const struct top *t)
{
	return (t->max_ticks && t->ticks >= t->max_ticks) ||
	       (t->end_ns && util__now_ns() >= t->end_ns);
}
