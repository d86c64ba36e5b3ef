/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"

#define CLOCK_STEP_MS 1000

static void on_event(void *arg, const struct mw_mm_ev *ev)
{
	struct top *t = arg;

	table__event(&t->table, ev);
	if (t->timeline)
		proc_timeline__event(t->timeline, ev);
}

static void read_losses(struct top *t)
{
	uint64_t c[MW_MM_C_COUNT];

	if (mm_probe__counters(t->probe, c))
		return;
	t->lost_events = c[MW_MM_C_LOST_RING];
	t->lost_peaks = c[MW_MM_C_LOST_SLOT];
}

/* Told while it happens. */
static void tell_dropped(struct top *t, uint64_t now_ns)
{
	char news[PROC_TIMELINE_NEWS];
	int64_t most_bytes;

	t->dropped = proc_timeline__dropped(t->timeline, &most_bytes);
	t->rejected = proc_timeline__rejected(t->timeline);
	if (!t->is_screen && *proc_timeline__news(t->timeline, now_ns, news, sizeof(news)))
		log_warn("the timeline is full: %s", news);
}

void top__close_books(const struct top *t)
{
	char news[PROC_TIMELINE_NEWS];

	if (t->timeline && *proc_timeline__news(t->timeline, UINT64_MAX, news, sizeof(news)))
		log_warn("the timeline was full: %s", news);
	if (t->lost_events)
		log_warn("%llu execs and ends of processes were not seen: the ring was full",
			 (unsigned long long)t->lost_events);
	if (t->lost_peaks)
		log_warn("of some processes the peaks between two samples were not seen: the table "
			 "was full (%llu times)",
			 (unsigned long long)t->lost_peaks);
}

/* How far the wall clock went beyond the time that passed since the last pass; 0 if little. */
static int64_t step_since(const struct top *t, double now)
{
	int64_t step;

	if (!t->seconds)
		return 0;
	step = util__wall_ms() - t->time_unix_ms - (int64_t)((now - t->seconds) * 1000);
	return step > CLOCK_STEP_MS || step < -CLOCK_STEP_MS ? step : 0;
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
	read_losses(t);
	if (t->timeline) {
		err = proc_timeline__rows(t->timeline, rows);
		if (err < 0)
			return err;
		tell_dropped(t, util__now_ns());
	}
	now = util__now_ns() / 1e9;
	/* A suspended machine or a starved memwatch leaves a gap; it is told, not bridged. */
	t->gap_seconds = before && now - before > 3 * t->interval_ns / 1e9 ? now - before : 0;
	t->clock_step_ms = step_since(t, now);
	t->time_unix_ms = util__wall_ms();
	t->seconds = now;
	err = machine__read(&t->machine);
	if (err)
		return err;
	t->table.total_pages =
		(t->machine.total_bytes + t->machine.swap_total_bytes) / sysconf(_SC_PAGESIZE);
	err = table__update(&t->table, rows->row, rows->n, now);
	if (err)
		return err;
	if (t->stacks)
		err = top_stacks__update(t->stacks);
	/* Not for a single look, in which nothing could be sampled. */
	else if (t->wants_stacks && t->ticks == 0 && t->max_ticks != 1)
		t->wants_stacks = top_stacks__new(t->view.pids, t->view.npids, t->view.only_chosen,
						  &t->tuning, &t->stacks) == 0;
	if (!err)
		err = chosen__update(t->chosen, &t->table, t->timeline, t->stacks);
	if (err)
		return err;
	t->ticks++;
	return top_view__arrange(&t->view, &t->table);
}

void top__poll(struct top *t)
{
	if (t->stacks)
		top_stacks__poll(t->stacks);
	if (chosen__has_alerts(t->chosen))
		chosen__poll(t->chosen);
}

uint64_t top__poll_ns(const struct top *t)
{
	return chosen__has_alerts(t->chosen) || t->stacks ? TOP_POLL_NS : UINT64_MAX;
}

bool top__done(const struct top *t)
{
	return t->max_ticks && t->ticks >= t->max_ticks;
}
