/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/timeline.h"

#include "core/util.h"

#include <stdlib.h>
#include <string.h>

#define TAIL_ROWS 16 /* rows of the bucket that is filling before it is reduced */

const char *timeline__column_name(enum timeline_column c)
{
	static const char *const name[TIMELINE_COLUMNS] = {
		"virt_bytes",	   "rss_bytes",	 "rss_anon_bytes", "rss_file_bytes",
		"rss_shmem_bytes", "swap_bytes", "inuse_bytes",	   "alloc_bytes"};

	return name[c];
}

struct timeline_row timeline__row(int64_t time_unix_ms)
{
	struct timeline_row r = {.time_unix_ms = time_unix_ms};

	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		r.value[c] = TIMELINE_UNKNOWN;
	return r;
}

void timeline__init(struct timeline *t, uint32_t pid, const char *name, size_t max_rows)
{
	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->max_rows = max_rows ? max_of(max_rows, (size_t)64) : TIMELINE_DEFAULT_ROWS;
	if (name)
		strncpy(t->name, name, sizeof(t->name) - 1);
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		t->peak[c] = SIZE_MAX;
}

static void drop_rows(struct timeline *t, size_t from)
{
	for (size_t i = from; i < t->nrows; i++)
		free(t->rows[i].more);
	t->nrows = min_of(t->nrows, from);
}

void timeline__clear(struct timeline *t)
{
	for (size_t i = 0; i < t->nmarks; i++)
		free(t->marks[i].text);
	free(t->marks);
	drop_rows(t, 0);
	free(t->rows);
	memset(t, 0, sizeof(*t));
}

/* alloc_bytes only ever grows: its highest row is the last one, which is kept anyway. */
static void note_peaks(struct timeline *t, size_t row)
{
	for (int c = 0; c < TIMELINE_ALLOC; c++) {
		int64_t v = t->rows[row].value[c];

		if (v != TIMELINE_UNKNOWN &&
		    (t->peak[c] == SIZE_MAX || v > t->rows[t->peak[c]].value[c]))
			t->peak[c] = row;
	}
}

static bool is_peak(const struct timeline *t, size_t row)
{
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		if (t->peak[c] == row)
			return true;
	return false;
}

/* What a bucket's extremes are taken of: RSS, or the heap where RSS was not measured. */
static int64_t level(const struct timeline_row *r)
{
	return r->value[TIMELINE_RSS] != TIMELINE_UNKNOWN ? r->value[TIMELINE_RSS]
							  : r->value[TIMELINE_INUSE];
}

/* Copies the survivors of rows[from, to) to rows[out…]; returns the next free row. */
static size_t reduce_bucket(struct timeline *t, size_t from, size_t to, size_t out)
{
	size_t lo = from, hi = from;

	for (size_t i = from; i < to; i++) {
		if (level(&t->rows[i]) < level(&t->rows[lo]))
			lo = i;
		if (level(&t->rows[i]) > level(&t->rows[hi]))
			hi = i;
	}
	for (size_t i = from; i < to; i++) {
		/* row 0 is kept: the picture begins where the recording began */
		if (i && i != lo && i != hi && !is_peak(t, i)) {
			free(t->rows[i].more);
			continue;
		}
		for (int c = 0; c < TIMELINE_COLUMNS; c++)
			if (t->peak[c] == i)
				t->peak[c] = out;
		t->rows[out++] = t->rows[i];
	}
	return out;
}

static int64_t bucket_of(const struct timeline *t, size_t row)
{
	return (t->rows[row].time_unix_ms - t->rows[0].time_unix_ms) / t->bucket_ms;
}

/* Widens the buckets until the rows take at most three quarters of the room. */
static void compact(struct timeline *t)
{
	size_t goal = t->max_rows / 4 * 3;
	int64_t span = t->rows[t->nrows - 1].time_unix_ms - t->rows[0].time_unix_ms;

	while (t->nrows > goal) {
		size_t out = 0, from = 0;
		int64_t least = span / (int64_t)t->max_rows * 2 + 1;

		if (t->bucket_ms > span) { /* all in one bucket and still too many: clocks stand */
			drop_rows(t, goal);
			t->tail0 = min_of(t->tail0, goal - 1);
			for (int c = 0; c < TIMELINE_COLUMNS; c++)
				if (t->peak[c] >= goal)
					t->peak[c] = SIZE_MAX;
			return;
		}
		t->bucket_ms = max_of(t->bucket_ms * 2, least);
		for (size_t i = 1; i <= t->nrows; i++) {
			if (i < t->nrows && bucket_of(t, i) == bucket_of(t, from))
				continue;
			if (i == t->nrows)
				t->tail0 = out;
			out = reduce_bucket(t, from, i, out);
			from = i;
		}
		t->nrows = out;
	}
}

int timeline__append(struct timeline *t, const struct timeline_row *row)
{
	int err = array_reserve(t->rows, t->rows_cap, t->nrows + 1);
	int64_t *more = NULL;

	if (err)
		return err;
	if (row->more && t->nmore) {
		more = malloc(t->nmore * sizeof(*more));
		if (!more)
			return -ENOMEM;
		memcpy(more, row->more, t->nmore * sizeof(*more));
	}
	t->rows[t->nrows] = *row;
	t->rows[t->nrows].more = more;
	if (t->nrows && row->time_unix_ms < t->rows[t->nrows - 1].time_unix_ms)
		t->rows[t->nrows].time_unix_ms = t->rows[t->nrows - 1].time_unix_ms;
	t->appended++;
	if (t->bucket_ms && t->nrows) {
		bool closed = bucket_of(t, t->nrows) != bucket_of(t, t->tail0);
		struct timeline_row r = t->rows[t->nrows];

		/* an open bucket is reduced as it goes: it may see any number of rows */
		if (closed || t->nrows - t->tail0 >= TAIL_ROWS)
			t->nrows = reduce_bucket(t, t->tail0, t->nrows, t->tail0);
		if (closed)
			t->tail0 = t->nrows;
		t->rows[t->nrows] = r;
	}
	note_peaks(t, t->nrows++);
	if (t->nrows >= t->max_rows)
		compact(t);
	return 0;
}

int timeline__mark(struct timeline *t, int64_t time_unix_ms, const char *text)
{
	struct timeline_mark m = {.time_unix_ms = time_unix_ms};
	size_t i;
	int err;

	if (t->nmarks >= TIMELINE_MAX_MARKS) {
		t->marks_dropped++;
		return -E2BIG;
	}
	err = array_reserve(t->marks, t->marks_cap, t->nmarks + 1);
	if (err)
		return err;
	m.text = strdup(text);
	if (!m.text)
		return -ENOMEM;
	for (i = t->nmarks++; i && t->marks[i - 1].time_unix_ms > time_unix_ms; i--)
		t->marks[i] = t->marks[i - 1];
	t->marks[i] = m;
	return 0;
}
