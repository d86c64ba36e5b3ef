/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * top_view.h - what top shows of its table: which rows, in which order, as text or JSON.
 */
#ifndef TOP_TOP_VIEW_H
#define TOP_TOP_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/rx.h"
#include "top/machine.h"
#include "top/table.h"
#include "top/top_columns.h"

struct top_view {
	enum view_sort sort;
	bool reverse, tree, full_command, hide_kthreads;
	struct rx *filter; /* command line, user, container, cgroup; NULL: none */
	uint32_t *pids;	   /* only these; NULL: all */
	size_t npids;
	bool only_chosen; /* rows that are `chosen`, beside pids */
	/* filled by top_view__arrange */
	struct table_proc **row;
	size_t n, cap;
};

void top_view__clear(struct top_view *v);
/* Name of a sort key ("rss", "virt", …); key by name, -EINVAL if there is none. */
const char *top_view__sort_name(enum view_sort s);
const char *const *top_view__sort_names(void); /* SORT_KEYS of them */
int top_view__sort_by_name(const char *name);
/* Sets the filter; NULL or "" removes it. 0 or -EINVAL (no regular expression: why). */
int top_view__set_filter(struct top_view *v, const char *re, char *why, size_t why_len);
/* Of a process: its names, command line, user, container or cgroup. */
bool top_view__matches(struct rx *rx, const struct table_proc *p);

/* Fills row[0..n) in the order shown. 0 or -ENOMEM. */
int top_view__arrange(struct top_view *v, const struct table *t);

/* The two lines about the machine, each without a newline, into buf. */
void top_view__machine_line1(char *buf, size_t len, const struct machine *m, const struct table *t);
void top_view__machine_line2(char *buf, size_t len, const struct machine *m);

/* The whole thing as text: at most `rows` processes (0: all). */
void top_view__print(FILE *f, const struct top_view *v, const struct table *t,
		     const struct machine *m, size_t rows, int64_t time_unix_ms);

/* What JSON says beside the table. */
struct view_extra {
	double gap_seconds;    /* the time before, when it was unduly long; else 0 */
	int64_t clock_step_ms; /* how far the wall clock stepped since the line before; 0: it did
				  not */
	uint64_t lost_events;  /* execs and ends of processes that were not seen so far */
	/* processes whose timelines gave way to others, that found no room */
	uint64_t timeline_dropped, timeline_rejected;
	const char *note; /* "" or what is missing */
	json_t *resident; /* by stack, taken over; NULL: none */
};

/* One JSON object in one line. 0 or -ENOMEM. */
int top_view__json(FILE *f, const struct top_view *v, const struct table *t,
		   const struct machine *m, size_t rows, int64_t time_unix_ms,
		   const struct view_extra *x);

#endif
