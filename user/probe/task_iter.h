/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * task_iter.h - one row per process from the BPF task iterator (bpf/task.bpf.c).
 *
 * Rows are sorted by PID, one per process. A row whose address space went away while it was read
 * carries MW_TASK_TORN; its sizes must not be used.
 */
#ifndef PROBE_TASK_ITER_H
#define PROBE_TASK_ITER_H

#include <stdbool.h>
#include <stddef.h>

#include "memwatch/mm.h"

struct bpfobj;

struct task_rows { /* filled by passes, reused; free with task_rows__free */
	struct mw_task_row *row;
	size_t n, cap;
};
void task_rows__free(struct task_rows *rows);
/* Sorts by PID and drops the second row of a process. */
void task_rows__finish(struct task_rows *rows);

struct task_iter;
/* After load, of an object whose plan has rows. 0 or -errno. */
int task_iter__new(struct bpfobj *o, struct task_iter **ret);
void task_iter__free(struct task_iter *it);
/* One pass over all processes into rows (replaced). 0 or -errno. */
int task_iter__pass(struct task_iter *it, struct task_rows *rows);

#endif
