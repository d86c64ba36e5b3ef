/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timeline.h - one process's memory over time: what the mm and attach parts record at each tick
 * and what format/timeline_file and format/timeline_plot write.
 *
 * Bounded: beyond max_rows the rows are put into time buckets of equal width and each bucket keeps
 * the rows with its highest and its lowest RSS, so that spikes and troughs survive, and the row in
 * which any single column is highest is never dropped. Rows are observations, never averages.
 * The bucket width doubles whenever the rows fill up again: the memory stays the same for a
 * minute and for a month. Pure, one thread at a time.
 */
#ifndef MODEL_TIMELINE_H
#define MODEL_TIMELINE_H

#include <stddef.h>
#include <stdint.h>

#define TIMELINE_UNKNOWN INT64_MIN /* a value that was not measured: an empty CSV field */
#define TIMELINE_DEFAULT_ROWS 4096
#define TIMELINE_MAX_MARKS 1024
#define TIMELINE_NAME_LEN 64

enum timeline_column { /* indices into timeline_row.value; names by timeline__column_name */
		       TIMELINE_VIRT,
		       TIMELINE_RSS,
		       TIMELINE_RSS_ANON,
		       TIMELINE_RSS_FILE,
		       TIMELINE_RSS_SHMEM,
		       TIMELINE_SWAP,
		       TIMELINE_INUSE, /* live heap bytes, where a profile runs */
		       TIMELINE_ALLOC, /* heap bytes allocated since the start */
		       TIMELINE_COLUMNS
};

struct timeline_row {
	int64_t time_unix_ms;
	int64_t value[TIMELINE_COLUMNS]; /* bytes, or TIMELINE_UNKNOWN */
	int64_t *more; /* timeline.nmore values of further columns; NULL: none known */
};

struct timeline_mark { /* something that happened: "exec", "OOM kill", a user's mark */
	int64_t time_unix_ms;
	char *text;
};

struct timeline {
	uint32_t pid;
	char name[TIMELINE_NAME_LEN];
	struct timeline_row *rows; /* ascending time */
	size_t nrows, rows_cap, max_rows;
	const char *const *more_name; /* further columns, of this kind of process alone; borrowed */
	size_t nmore;
	struct timeline_mark *marks; /* ascending time */
	size_t nmarks, marks_cap;
	uint64_t marks_dropped;	       /* that there is no room for */
	uint64_t appended;	       /* rows ever given */
	int64_t bucket_ms;	       /* 0: every row is still there */
	size_t tail0;		       /* first row of the bucket that is still filling */
	size_t peak[TIMELINE_COLUMNS]; /* row of the highest value; SIZE_MAX: none known */
};

/* The column's name in every format: "virt_bytes", … Lives for ever. */
const char *timeline__column_name(enum timeline_column c);

/* A row with every value unknown. */
struct timeline_row timeline__row(int64_t time_unix_ms);

/* max_rows 0: TIMELINE_DEFAULT_ROWS; at least 64. timeline__clear frees what the timeline owns. */
void timeline__init(struct timeline *t, uint32_t pid, const char *name, size_t max_rows);
void timeline__clear(struct timeline *t);

/* Appends a copy (with row->more, where the timeline has further columns). A time before the last
 * row's is taken as the last row's (clocks step back). 0 or -ENOMEM. */
int timeline__append(struct timeline *t, const struct timeline_row *row);

/* Adds a mark; text is copied. 0, -ENOMEM, or -E2BIG when it is dropped (and counted). */
int timeline__mark(struct timeline *t, int64_t time_unix_ms, const char *text);

#endif
