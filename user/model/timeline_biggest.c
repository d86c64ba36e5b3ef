/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_biggest.c - see timeline_biggest.h. */
#include "model/timeline_biggest.h"

#include <stdio.h>

#include "core/top_n.h"
#include "core/util.h"

struct ranked_line {
	const struct timeline *t;
	int64_t peak;
	size_t at;
};

static int biggest_first(const void *a, const void *b)
{
	const struct ranked_line *x = a, *y = b;

	if (x->peak != y->peak)
		return x->peak < y->peak ? 1 : -1;
	return x->at < y->at ? -1 : 1;
}

static int64_t peak_of(const struct timeline *t)
{
	int64_t peak = 0;

	for (size_t i = 0; i < t->nrows; i++)
		peak = max_of(peak, t->rows[i].value[TIMELINE_RSS]);
	return peak;
}

#define MOST ((int64_t)1 << 61) /* of a sum; what a file says of one is half of that at most */

static void add_row(struct timeline_row *sum, const struct timeline_row *r)
{
	for (int c = 0; c < TIMELINE_COLUMNS; c++) {
		if (r->value[c] == TIMELINE_UNKNOWN)
			continue;
		if (sum->value[c] == TIMELINE_UNKNOWN)
			sum->value[c] = 0;
		sum->value[c] = max_of(min_of(sum->value[c] + r->value[c], MOST), -MOST);
	}
}

#define SUM_ROWS 480

/* Adds what a process had last at each of the sum's moments, while it was there. */
static void add_line(struct timeline *sum, const struct timeline *t)
{
	int64_t step = sum->rows[1].time_unix_ms - sum->rows[0].time_unix_ms;
	size_t at = 0;

	for (size_t i = 0; i < sum->nrows && t->nrows; i++) {
		int64_t now = sum->rows[i].time_unix_ms;

		if (now < t->rows[0].time_unix_ms - step / 2 ||
		    now > t->rows[t->nrows - 1].time_unix_ms + step)
			continue;
		while (at + 1 < t->nrows && t->rows[at + 1].time_unix_ms <= now)
			at++;
		add_row(&sum->rows[i], &t->rows[at]);
	}
}

static int sum_lines(const struct ranked_line *r, size_t n, struct timeline *sum)
{
	int64_t from = INT64_MAX, to = INT64_MIN;

	for (size_t i = 0; i < n; i++) {
		if (r[i].t->nrows) {
			from = min_of(from, r[i].t->rows[0].time_unix_ms);
			to = max_of(to, r[i].t->rows[r[i].t->nrows - 1].time_unix_ms);
		}
	}
	snprintf(sum->name, sizeof(sum->name), "%zu others together", n);
	if (from > to)
		return 0;
	sum->rows = calloc(SUM_ROWS, sizeof(*sum->rows));
	if (!sum->rows)
		return -ENOMEM;
	sum->nrows = SUM_ROWS;
	for (size_t i = 0; i < SUM_ROWS; i++)
		sum->rows[i] = timeline__row(from + (to - from) * (int64_t)i / (SUM_ROWS - 1));
	for (size_t i = 0; i < n; i++)
		add_line(sum, r[i].t);
	return 0;
}

int timeline_biggest__new(struct timeline_biggest *b, const struct timeline *const *t, size_t n,
			  size_t most)
{
	cleanup_free struct ranked_line *r = calloc(n + 1, sizeof(*r));
	bool all = n <= most + most / 4;
	int err = 0;

	*b = (struct timeline_biggest){.t = calloc(n + 1, sizeof(*b->t)), .n = all ? n : most};
	if (!r || !b->t)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked_line){t[i], peak_of(t[i]), i};
	if (!all) {
		top_n__sort(r, n, sizeof(*r), most, biggest_first);
		err = sum_lines(r + most, n - most, &b->rest);
	}
	for (size_t i = 0; i < b->n; i++)
		b->t[i] = r[i].t;
	return err;
}

void timeline_biggest__free(struct timeline_biggest *b)
{
	free(b->t);
	free(b->rest.rows);
	*b = (struct timeline_biggest){0};
}
