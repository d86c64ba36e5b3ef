/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/top_columns.h"

#include <stdlib.h>
#include <string.h>

#include "core/units.h"
#include "core/util.h"

#define MIN_COMMAND 12

static const struct {
	const char *head;
	int width;
} columns[TOP_COLUMNS] = {
	[TOP_PID] = {"PID", 7},
	[TOP_USER] = {"USER", -9},
	[TOP_VIRT] = {"VIRT", 9},
	[TOP_RSS] = {"RSS", 9},
	[TOP_ANON] = {"ANON", 9},
	[TOP_FILE] = {"FILE", 9},
	[TOP_SHMEM] = {"SHMEM", 9},
	[TOP_SWAP] = {"SWAP", 9},
	[TOP_GROWTH] = {"GROWTH/min", 11},
	[TOP_TREND] = {"TREND", -8},
	[TOP_PEAK] = {"PEAK", 9},
	[TOP_OOM] = {"OOM", 5},
	[TOP_CONTAINER] = {"CONTAINER", -19},
	[TOP_COMMAND] = {"COMMAND", 0},
};

/* What is given up first stands last. */
static const enum top_column by_priority[] = {TOP_RSS,	 TOP_GROWTH, TOP_VIRT,	TOP_USER,
					      TOP_TREND, TOP_PEAK,   TOP_SWAP,	TOP_ANON,
					      TOP_FILE,	 TOP_OOM,    TOP_SHMEM, TOP_CONTAINER};

enum top_column top_columns__of_sort(enum view_sort sort)
{
	static const enum top_column of[SORT_KEYS] = {
		[SORT_RSS] = TOP_RSS,	    [SORT_VIRT] = TOP_VIRT,   [SORT_ANON] = TOP_ANON,
		[SORT_FILE] = TOP_FILE,	    [SORT_SHMEM] = TOP_SHMEM, [SORT_SWAP] = TOP_SWAP,
		[SORT_GROWTH] = TOP_GROWTH, [SORT_PEAK] = TOP_PEAK,   [SORT_OOM] = TOP_OOM,
		[SORT_PID] = TOP_PID,	    [SORT_USER] = TOP_USER,   [SORT_COMMAND] = TOP_COMMAND,
	};

	return of[sort];
}

unsigned top_columns__fit(int width, enum view_sort sort)
{
	unsigned shown = 1u << TOP_PID | 1u << TOP_COMMAND | 1u << top_columns__of_sort(sort);
	int left = width - max_of(width / 4, MIN_COMMAND);

	for (enum top_column c = 0; c < TOP_COMMAND; c++) {
		if (shown & 1u << c)
			left -= abs(columns[c].width) + 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(by_priority); i++) {
		enum top_column c = by_priority[i];

		if (shown & 1u << c)
			continue;
		left -= abs(columns[c].width) + 1;
		if (left < 0)
			break;
		shown |= 1u << c;
	}
	return shown;
}

const char *top_columns__head(enum top_column c)
{
	return columns[c].head;
}

int top_columns__width(enum top_column c)
{
	return columns[c].width;
}

/* The container, or the last part of a cgroup path for processes that are in none. */
static const char *place_of(const struct table_proc *p)
{
	const char *slash = p->cgroup ? strrchr(p->cgroup, '/') : NULL;

	if (p->container)
		return p->container;
	return !slash || !slash[1] ? "-" : slash + 1;
}

static bool is_size(enum top_column c)
{
	return (c >= TOP_VIRT && c <= TOP_SWAP) || c == TOP_PEAK;
}

static uint64_t size_of(enum top_column c, const struct table_proc *p)
{
	const struct mw_task_row *r = &p->row;

	switch (c) {
	case TOP_VIRT: return r->virt_bytes;
	case TOP_RSS: return mw_task_row__rss(r);
	case TOP_ANON: return r->anon_bytes;
	case TOP_FILE: return r->file_bytes;
	case TOP_SHMEM: return r->shmem_bytes;
	case TOP_SWAP: return r->swap_bytes;
	default: return p->peak_bytes;
	}
}

static void growth_text(char *buf, const struct table_proc *p)
{
	char size[UNITS_LEN];
	double g;

	if (!table_proc__growth_shown(p, &g)) {
		strcpy(buf, "-");
		return;
	}
	units__size(size, sizeof(size), (int64_t)(g < 0 ? -g : g));
	snprintf(buf, TOP_CELL, "%c%s", g <= -1 ? '-' : '+', size);
}

char *top_columns__cell(char buf[TOP_CELL], enum top_column c, bool full_command,
			const struct table *t, const struct table_proc *p)
{
	if (is_size(c)) {
		if (p->row.flags & MW_TASK_NO_MM)
			return strcpy(buf, "-");
		return units__size(buf, UNITS_LEN, (int64_t)size_of(c, p));
	}
	switch (c) {
	case TOP_PID: snprintf(buf, TOP_CELL, "%u", p->row.tgid); break;
	case TOP_USER: snprintf(buf, TOP_CELL, "%.9s", p->user ? p->user : "?"); break;
	case TOP_GROWTH: growth_text(buf, p); break;
	case TOP_TREND: snprintf(buf, TOP_CELL, "%s", table_proc__trend(p)); break;
	case TOP_OOM:
		snprintf(buf, TOP_CELL, "%d",
			 table__oom_score(&p->row, t->total_pages, sysconf(_SC_PAGESIZE)));
		break;
	case TOP_CONTAINER: snprintf(buf, TOP_CELL, "%.19s", place_of(p)); break;
	default:
		snprintf(buf, TOP_CELL, "%*s%s", (int)min_of(p->depth * 2, 64u), "",
			 p->cmdline && full_command ? p->cmdline : p->comm);
		break;
	}
	return buf;
}
