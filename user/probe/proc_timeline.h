/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proc_timeline.h - the RSS-vs-VIRT timelines of a few processes, filled tick by tick.
 *
 * From BPF, with the highest moment between two ticks as a row of its own; from /proc where BPF
 * cannot be had (proc_timeline__note says so). A process is its PID and start time: when it ends,
 * its timeline ends with an "exit" mark, and a new process with the same PID does not continue it.
 * Row times follow the monotonic clock from the wall clock at the start: a step of the wall clock
 * becomes a mark, never a row out of order, and a late tick becomes a "gap" mark. One thread.
 */
#ifndef PROBE_PROC_TIMELINE_H
#define PROBE_PROC_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/timeline.h"

struct proc_timeline_opts {
	uint64_t interval_ns; /* expected between ticks, for telling gaps; 0: they are not told */
	size_t max_rows;      /* of one process; 0: TIMELINE_DEFAULT_ROWS */
	bool no_bpf;
	bool external; /* rows and events are fed by the caller's own mm_probe */
	bool all;      /* external: every process met is recorded, not only those added */
	/* 0: 16384 with all, else no limit. Beyond it the dead give way, those with the lowest peak
	 * first. Where all live, new ones are recorded without all; with all one takes the place of
	 * the smallest that does not grow if it has twice its peak, else it is counted */
	size_t max_processes;
	/* what the heap held at an earlier moment (CLOCK_MONOTONIC), for rows that are learned of
	 * late; false: not known. NULL: as last told by proc_timeline__heap */
	bool (*heap_at)(void *arg, pid_t pid, uint64_t time_ns, double *ret_inuse_bytes,
			double *ret_alloc_bytes);
	void *heap_arg;
};

#define PROC_TIMELINE_NEWS 200

struct proc_timeline;
struct task_rows;
struct mw_mm_ev;
struct mw_task_row;

/* 0 or -ENOMEM. Add processes with proc_timeline__add. */
int proc_timeline__new(const struct proc_timeline_opts *opts, struct proc_timeline **ret);
void proc_timeline__free(struct proc_timeline *t);
const char *proc_timeline__note(const struct proc_timeline *t);

/* Starts recording a process. 0, -ESRCH (no such process), -EEXIST, -ENOMEM. */
int proc_timeline__add(struct proc_timeline *t, pid_t pid);
/* The same of one whose memory was seen at that moment (CLOCK_MONOTONIC): this is its one row if it
 * ends before another is taken, or has ended by now. 0, -EEXIST, -ENOMEM. */
int proc_timeline__add_seen(struct proc_timeline *t, const struct mw_task_row *row,
			    uint64_t seen_ns);
/* Heap figures for the rows from now on (TIMELINE_UNKNOWN: none). */
void proc_timeline__heap(struct proc_timeline *t, pid_t pid, int64_t inuse_bytes,
			 int64_t alloc_bytes);
/* Further columns (timeline.more_name; always the same of a process) and their values for the rows
 * from now on. 0, -ENOENT (not recorded), -EEXIST (it has others) or -ENOMEM. */
int proc_timeline__more(struct proc_timeline *t, pid_t pid, const char *const *name, size_t n,
			const int64_t *value);

/* Records one row for every process that lives. The number of those, or -errno. */
int proc_timeline__tick(struct proc_timeline *t);
/* The same from the caller's probe: first the rows of a pass, then the events up to it. */
int proc_timeline__rows(struct proc_timeline *t, const struct task_rows *rows);
void proc_timeline__event(struct proc_timeline *t, const struct mw_mm_ev *ev);
/* Processes for which there was no room when they were met. */
uint64_t proc_timeline__rejected(const struct proc_timeline *t);
/* Processes whose timelines were dropped for others; *ret_bytes: the highest RSS of them. */
uint64_t proc_timeline__dropped(const struct proc_timeline *t, int64_t *ret_bytes);
/* Both in words, if more than at the last call and a minute after it; else "". UINT64_MAX: the end.
 * Returns buf (PROC_TIMELINE_NEWS bytes). */
const char *proc_timeline__news(struct proc_timeline *t, uint64_t now_ns, char *buf, size_t size);

/* How far the wall clock has stepped from the clock of the rows, which never steps; 0 if not by
 * more than a second. */
int64_t proc_timeline__step_ms(const struct proc_timeline *t);

/* What was recorded, for format/timeline_file.h; borrowed until the next add or free. */
size_t proc_timeline__all(struct proc_timeline *t, const struct timeline *const **ret);
const struct timeline *proc_timeline__of(struct proc_timeline *t, pid_t pid);

#endif
