/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/table.h"

#include <math.h>
#include <string.h>

#include "core/util.h"
#include "model/trend.h"
#include "core/textbuf.h"

void table__init(struct table *t)
{
	memset(t, 0, sizeof(*t));
	t->window_seconds = TABLE_WINDOW_SECONDS;
}

static void proc_free(struct table_proc *p)
{
	if (!p)
		return;
	free(p->user);
	free(p->cmdline);
	free(p->cgroup);
	free(p->container);
	free(p->history);
	free(p);
}

void table__clear(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		proc_free(t->proc[i]);
	free(t->proc);
	memset(t, 0, sizeof(*t));
}

struct table_proc *table__find(const struct table *t, uint32_t pid)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->proc[mid]->row.tgid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n && t->proc[lo]->row.tgid == pid ? t->proc[lo] : NULL;
}

/* Drops every second point when full, so that the window stays covered at any interval, and keeps a
 * few at least, however long ago: passes may be further apart than the window is long. */
static void add_point(struct table_proc *p, double seconds, uint64_t rss_bytes)
{
	uint32_t first = 0;

	while (first + TABLE_LEAST_POINTS - 1 < p->nhistory &&
	       seconds - p->history[first].seconds > p->window_seconds)
		first++;
	if (first) {
		memmove(p->history, p->history + first,
			(p->nhistory - first) * sizeof(p->history[0]));
		p->nhistory -= first;
	}
	if (p->nhistory == TABLE_HISTORY) {
		for (uint32_t i = 0; i < TABLE_HISTORY / 2; i++)
			p->history[i] = p->history[2 * i];
		p->nhistory = TABLE_HISTORY / 2;
	}
	if (array_reserve(p->history, p->history_cap, p->nhistory + 1))
		return; /* a point less */
	p->history[p->nhistory++] = (struct table_point){seconds, rss_bytes};
}

/* A spike between two passes is a point of its own, so that a saw-tooth shows at any interval. */
static void add_peak(struct table_proc *p, const struct mw_task_row *row, double seconds)
{
	uint64_t peak = mw_task_row__peak_rss(row), rss = mw_task_row__rss(row);
	double when = row->peak_time_ns / 1e9;
	const struct table_point *last = p->nhistory ? &p->history[p->nhistory - 1] : NULL;

	if (!(row->flags & MW_TASK_PEAK) || !last || when <= last->seconds || when >= seconds)
		return;
	if (peak > rss + rss / 50 && peak > last->rss_bytes + last->rss_bytes / 50)
		add_point(p, when, peak);
}

static void take_row(struct table *t, struct table_proc *p, const struct mw_task_row *row,
		     double seconds)
{
	uint64_t peak = max_of(row->hiwater_rss_bytes, mw_task_row__peak_rss(row));
	if (memcmp(p->row.comm, row->comm, sizeof(row->comm)) || p->row.uid != row->uid ||
	    p->row.cgroup_id != row->cgroup_id)
		p->stale = true;
	p->row = *row;
	memcpy(p->comm, row->comm, sizeof(row->comm));
	p->comm[sizeof(row->comm)] = 0;
	textbuf__printable(p->comm);
	p->seen = seconds;
	p->peak_bytes = max_of(p->peak_bytes, peak);
	p->interval_peak_bytes = max_of(mw_task_row__peak_rss(row), p->image_peak_bytes);
	p->image_peak_bytes = 0;
	p->window_seconds = t->window_seconds;
	add_peak(p, row, seconds);
	add_point(p, seconds, mw_task_row__rss(row));
	if (p->stale && t->name)
		t->name(t->name_arg, p);
	p->renamed |= p->stale;
	p->stale = false;
}

int table__update(struct table *t, const struct mw_task_row *rows, size_t n, double seconds)
{
	struct table_proc **next = calloc(n ? n : 1, sizeof(*next));
	size_t i = 0, k = 0;

	if (!next)
		return -ENOMEM;
	for (size_t r = 0; r < n; r++) {
		struct table_proc *p;

		if (rows[r].flags & MW_TASK_TORN) {
			t->torn_rows++;
			continue;
		}
		for (; i < t->n && t->proc[i]->row.tgid < rows[r].tgid; i++) {
			proc_free(take_ptr(t->proc[i]));
			t->died++;
		}
		p = i < t->n && t->proc[i]->row.tgid == rows[r].tgid ? t->proc[i] : NULL;
		if (p) {
			t->proc[i++] = NULL;
			if (p->row.start_ns != rows[r].start_ns) { /* the PID's next owner */
				proc_free(take_ptr(p));
				t->died++;
			}
		}
		if (!p) {
			p = calloc(1, sizeof(*p));
			if (!p) {
				free(next); /* the rest of the old table stays; see below */
				goto oom;
			}
			p->seen_first = seconds;
			p->stale = true;
			t->born++;
		}
		take_row(t, p, &rows[r], seconds);
		next[k++] = p;
	}
	for (; i < t->n; i++) {
		proc_free(t->proc[i]);
		t->died++;
	}
	free(t->proc);
	t->proc = next;
	t->cap = n;
	t->n = k;
	return 0;
oom: /* what was moved to the new table is lost with it: start anew */
	for (i = 0; i < t->n; i++)
		proc_free(t->proc[i]);
	t->n = 0;
	return -ENOMEM;
}

void table__event(struct table *t, const struct mw_mm_ev *ev)
{
	struct table_proc *p = table__find(t, ev->tgid);

	if (!p || p->row.start_ns != ev->start_ns)
		return;
	p->peak_bytes = max_of(p->peak_bytes, ev->hiwater_rss_bytes);
	if (ev->type == MW_MM_EXEC) {
		uint64_t peak = ev->peak_anon_bytes + ev->peak_file_bytes + ev->peak_shmem_bytes;

		p->image_peak_bytes = max_of(p->image_peak_bytes, peak);
		p->stale = true;
	}
}

bool table_proc__growth(const struct table_proc *p, double *ret_bytes_per_minute)
{
	double n = p->nhistory, t = 0, y = 0, tt = 0, ty = 0, t0;

	if (p->nhistory < TABLE_LEAST_POINTS ||
	    p->history[p->nhistory - 1].seconds - p->history[0].seconds <
		    fmin(TABLE_LEAST_SECONDS, p->window_seconds / 2))
		return false;
	t0 = p->history[0].seconds;
	for (uint32_t i = 0; i < p->nhistory; i++) {
		double x = p->history[i].seconds - t0, v = p->history[i].rss_bytes;

		t += x;
		y += v;
		tt += x * x;
		ty += x * v;
	}
	if (n * tt - t * t <= 0)
		return false;
	*ret_bytes_per_minute = 60 * (n * ty - t * y) / (n * tt - t * t);
	return true;
}

bool table_proc__growth_lasting(const struct table_proc *p, double *ret_bytes_per_minute)
{
	return p->nhistory && p->seen - p->seen_first >= 1.5 * p->window_seconds &&
	       p->history[0].seconds - p->seen_first >= p->window_seconds / 2 &&
	       table_proc__growth(p, ret_bytes_per_minute);
}

int table__oom_score(const struct mw_task_row *row, uint64_t total_pages, uint64_t page_bytes)
{
	int64_t points;

	if (!total_pages || row->oom_score_adj == -1000 || (row->flags & MW_TASK_NO_MM))
		return 0;
	points = (mw_task_row__rss(row) + row->swap_bytes + row->pgtables_bytes) / page_bytes;
	points += (int64_t)row->oom_score_adj * (int64_t)(total_pages / 1000);
	points = (1000 + points * 1000 / (int64_t)total_pages) * 2 / 3;
	return points > 0 ? points : 0;
}

static bool judge(const struct table_proc *p, struct trend *verdict)
{
	struct trend_point points[TABLE_HISTORY];

	if (p->nhistory < TREND_MIN_POINTS || (p->row.flags & MW_TASK_NO_MM))
		return false;
	for (uint32_t i = 0; i < p->nhistory; i++)
		points[i] = (struct trend_point){p->history[i].seconds, p->history[i].rss_bytes, -1,
						 -1};
	return !trend__classify(points, p->nhistory, verdict);
}

const char *table_proc__trend(const struct table_proc *p)
{
	struct trend verdict;

	if (!judge(p, &verdict))
		return "";
	switch (verdict.kind) {
	case TREND_FLAT:
	case TREND_STARTUP: return "flat";
	case TREND_LINEAR: return "growing";
	case TREND_STEP: return "step";
	case TREND_SATURATING: return "filling";
	case TREND_CHURN: return "sawtooth";
	case TREND_RELEASED: return "released";
	default: return "";
	}
}

bool table_proc__growth_shown(const struct table_proc *p, double *ret_bytes_per_minute)
{
	struct trend verdict;

	if (!table_proc__growth(p, ret_bytes_per_minute))
		return false;
	if (judge(p, &verdict) && verdict.kind == TREND_CHURN)
		*ret_bytes_per_minute = verdict.slope_bytes_s * 60;
	return true;
}
