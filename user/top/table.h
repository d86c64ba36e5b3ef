/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - the processes that top shows, from one pass to the next.
 *
 * A process is (PID, start time): a reused PID is a new row with an empty history. Times are
 * monotonic seconds, so a step of the wall clock changes nothing here. Memory is bounded: at most
 * TABLE_HISTORY points a process. Pure; the texts (user, command line, cgroup) are filled in by
 * names.h through the table's callback for new rows.
 */
#ifndef TOP_TABLE_H
#define TOP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memwatch/mm.h"

#define TABLE_HISTORY 96	 /* points of RSS kept a process */
#define TABLE_WINDOW_SECONDS 120 /* of a table that is given no other */
#define TABLE_LEAST_POINTS 3	 /* that the window has, however rare passes are */
#define TABLE_LEAST_SECONDS 3	 /* of growth before it is a rate; half of a shorter window */

struct table_point {
	double seconds;
	uint64_t rss_bytes;
};

struct table_proc {
	struct mw_task_row row;
	char comm[MW_MM_COMM_LEN + 1];		   /* safe to print */
	char *user, *cmdline, *cgroup, *container; /* owned; may be NULL */
	struct table_point *history;		   /* owned; at most TABLE_HISTORY */
	size_t history_cap;
	uint32_t nhistory;	      /* points in use, oldest first */
	double seen_first, seen;      /* seconds of the passes */
	double window_seconds;	      /* the table's */
	uint64_t peak_bytes;	      /* highest RSS ever known: the kernel's mark and ours */
	uint64_t image_peak_bytes;    /* of an image that ended since the last row */
	uint64_t interval_peak_bytes; /* between the last two rows; valid with MW_TASK_PEAK */
	bool stale;		      /* its names are to be read again (exec) */
	/* for chosen.h */
	bool chosen, renamed; /* renamed: another name since it was looked at */
	double look_again;    /* seconds */
	/* for views */
	uint32_t depth;
	bool matches;
};

struct table {
	struct table_proc **proc; /* by PID */
	size_t n, cap;
	uint64_t total_pages;  /* RAM + swap, in pages: for the OOM score */
	double window_seconds; /* growth and trend look back this far */
	uint64_t torn_rows;    /* rows left out because they went away while being read */
	uint64_t born, died;   /* since the table began */
	/* called for rows that are new or stale */
	void (*name)(void *arg, struct table_proc *p);
	void *name_arg;
};

void table__init(struct table *t);
void table__clear(struct table *t);

/* Takes a pass over (rows sorted by PID). 0 or -ENOMEM. */
int table__update(struct table *t, const struct mw_task_row *rows, size_t n, double seconds);
/* A peak or an exec that an event told. */
void table__event(struct table *t, const struct mw_mm_ev *ev);
struct table_proc *table__find(const struct table *t, uint32_t pid);

/* Bytes per minute, by least squares over the window; false before there are 3 points and 3 s. */
bool table_proc__growth(const struct table_proc *p, double *ret_bytes_per_minute);
/* The same of what is no start-up: false before it was seen for the whole window, and for half as
 * long before that. */
bool table_proc__growth_lasting(const struct table_proc *p, double *ret_bytes_per_minute);
/* "growing" (steadily), "sawtooth", "flat", "step", "filling" (growth dies away), "released" (grew
 * and was given back), or "" while it is too early to say (model/trend.h). */
const char *table_proc__trend(const struct table_proc *p);
/* The growth to show beside the trend: of a saw-tooth that of its troughs. */
bool table_proc__growth_shown(const struct table_proc *p, double *ret_bytes_per_minute);
/* As the kernel reckons /proc/PID/oom_score: 0 to 2000 * 2/3. total_pages: RAM and swap. */
int table__oom_score(const struct mw_task_row *row, uint64_t total_pages, uint64_t page_bytes);

#endif
