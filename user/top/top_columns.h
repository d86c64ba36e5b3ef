/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * top_columns.h - the columns of top: what stands in them, and which of them there is room for.
 * PID and COMMAND are always there; the others give way by priority.
 */
#ifndef TOP_TOP_COLUMNS_H
#define TOP_TOP_COLUMNS_H

#include <stdbool.h>

#include "top/table.h"

enum view_sort {
	SORT_RSS,
	SORT_VIRT,
	SORT_ANON,
	SORT_FILE,
	SORT_SHMEM,
	SORT_SWAP,
	SORT_GROWTH,
	SORT_PEAK,
	SORT_OOM,
	SORT_PID,
	SORT_USER,
	SORT_COMMAND,
	SORT_KEYS
};

enum top_column {
	TOP_PID,
	TOP_USER,
	TOP_VIRT,
	TOP_RSS,
	TOP_ANON,
	TOP_FILE,
	TOP_SHMEM,
	TOP_SWAP,
	TOP_GROWTH,
	TOP_TREND,
	TOP_PEAK,
	TOP_OOM,
	TOP_CONTAINER,
	TOP_COMMAND, /* the last: as wide as what is left */
	TOP_COLUMNS
};

#define TOP_ALL_COLUMNS ((1u << TOP_COLUMNS) - 1)
#define TOP_CELL 640 /* bytes of a cell's text at most */

/* A set of columns (1 << enum top_column) that fit into so many columns of a screen, with the one
 * that is sorted by. */
unsigned top_columns__fit(int width, enum view_sort sort);
/* The column of a sort key. */
enum top_column top_columns__of_sort(enum view_sort sort);
const char *top_columns__head(enum top_column c);
/* Width for printf: negative is left-aligned, 0 is COMMAND's. */
int top_columns__width(enum top_column c);
/* Safe to print. full_command: command lines instead of names. Returns buf. */
char *top_columns__cell(char buf[TOP_CELL], enum top_column c, bool full_command,
			const struct table *t, const struct table_proc *p);

#endif
