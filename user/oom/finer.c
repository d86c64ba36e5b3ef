/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/finer.h"

#include "core/util.h"
#include "oom/tracker.h"

#define NEWEST (OOM_POINTS / 2)

static bool is_whole(const struct timeline_row *r)
{
	/* The row of an exit has no memory left. */
	return r->value[TIMELINE_VIRT] > 0 && r->value[TIMELINE_RSS] > 0;
}

static struct oom_point point_of(const struct timeline_row *r, int64_t step_ms)
{
	int64_t file = r->value[TIMELINE_RSS_FILE], shmem = r->value[TIMELINE_RSS_SHMEM];

	return (struct oom_point){
		.time_unix_ms = r->time_unix_ms + step_ms,
		.virt_bytes = (uint64_t)r->value[TIMELINE_VIRT],
		.rss_bytes = (uint64_t)r->value[TIMELINE_RSS],
		.shared_bytes = (uint64_t)(max_of(file, (int64_t)0) + max_of(shmem, (int64_t)0)),
	};
}

void finer__timeline(struct oom_event *e, const struct timeline *t, int64_t step_ms)
{
	int64_t kill_ms = e->time_unix_ms - step_ms; /* on the timeline's clock */
	struct oom_point at_kill = {0};
	size_t first = 0, end = 0, n, old, room, kept = 0;
	bool has_kill;

	if (!t)
		return;
	has_kill = e->npoints && e->timeline[e->npoints - 1].time_unix_ms == e->time_unix_ms;
	if (has_kill)
		at_kill = e->timeline[e->npoints - 1];
	while (end < t->nrows && t->rows[end].time_unix_ms <= kill_ms)
		end++;
	while (end > 0 && !is_whole(&t->rows[end - 1]))
		end--;
	while (first < end && t->rows[first].time_unix_ms < kill_ms - FINER_SPAN_MS)
		first++;
	n = end - first;
	if (!n || n + has_kill < e->npoints)
		return;
	room = OOM_POINTS - has_kill;
	/* The rows before `old` are thinned out to what is left beside the newest. */
	old = n > room ? n - NEWEST : 0;
	for (size_t i = 0; old && i < room - NEWEST; i++) {
		const struct timeline_row *r = &t->rows[first + i * old / (room - NEWEST)];

		if (is_whole(r))
			e->timeline[kept++] = point_of(r, step_ms);
	}
	for (size_t i = old; i < n; i++) {
		if (is_whole(&t->rows[first + i]))
			e->timeline[kept++] = point_of(&t->rows[first + i], step_ms);
	}
	if (has_kill)
		e->timeline[kept++] = at_kill;
	e->npoints = kept;
	e->growth_bytes_per_s = tracker__slope(e->timeline, e->npoints);
}
