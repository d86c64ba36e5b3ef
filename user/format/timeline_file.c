/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/timeline_file.h"

#include "core/util.h"
#include "core/emit.h"
#include "format/timeline_plot.h"
#include "sys/outfile.h"

#include <inttypes.h>
#include <string.h>

/* The timelines that still have rows, as a heap: the one whose next row is the earliest is first;
 * of equal times the first timeline's. */
struct timeline_merge {
	const struct timeline *const *t;
	size_t *at;   /* next row of each */
	size_t *heap; /* indices of timelines */
	size_t n;
};

static bool is_before(const struct timeline_merge *m, size_t a, size_t b)
{
	int64_t x = m->t[a]->rows[m->at[a]].time_unix_ms, y = m->t[b]->rows[m->at[b]].time_unix_ms;

	return x != y ? x < y : a < b;
}

static void sift_down(struct timeline_merge *m, size_t i)
{
	for (size_t child; (child = 2 * i + 1) < m->n; i = child) {
		size_t held = m->heap[i];

		if (child + 1 < m->n && is_before(m, m->heap[child + 1], m->heap[child]))
			child++;
		if (!is_before(m, m->heap[child], held))
			return;
		m->heap[i] = m->heap[child];
		m->heap[child] = held;
	}
}

/* The first that has further columns; NULL: none has. */
static const struct timeline *with_more(const struct timeline *const *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (t[i]->nmore)
			return t[i];
	}
	return NULL;
}

static void write_csv_value(FILE *f, int64_t v)
{
	putc(',', f);
	if (v != TIMELINE_UNKNOWN)
		fprintf(f, "%" PRId64, v);
}

/* more: the further columns of the file; another timeline's are not this row's. */
static void write_csv_row(FILE *f, const struct timeline *t, const struct timeline_row *r,
			  const struct timeline *more)
{
	bool has = r->more && more && t->more_name == more->more_name;

	fprintf(f, "%" PRId64 ",%u", r->time_unix_ms, t->pid);
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		write_csv_value(f, r->value[c]);
	for (size_t c = 0; more && c < more->nmore; c++)
		write_csv_value(f, has ? r->more[c] : TIMELINE_UNKNOWN);
	putc('\n', f);
}

int timeline_file__write_csv(FILE *f, const struct timeline *const *t, size_t n)
{
	cleanup_free size_t *at = calloc(n + 1, sizeof(*at)), *heap = calloc(n + 1, sizeof(*heap));
	struct timeline_merge m = {.t = t, .at = at, .heap = heap};
	const struct timeline *more = with_more(t, n);

	if (!at || !heap)
		return -ENOMEM;
	fputs("time_unix_ms,pid", f);
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		fprintf(f, ",%s", timeline__column_name(c));
	for (size_t c = 0; more && c < more->nmore; c++)
		fprintf(f, ",%s", more->more_name[c]);
	putc('\n', f);
	for (size_t i = 0; i < n; i++) {
		if (t[i]->nrows)
			heap[m.n++] = i;
	}
	for (size_t i = m.n / 2; i-- > 0;)
		sift_down(&m, i);
	while (m.n) {
		size_t first = heap[0];

		write_csv_row(f, t[first], &t[first]->rows[at[first]], more);
		if (++at[first] == t[first]->nrows)
			heap[0] = heap[--m.n];
		sift_down(&m, 0);
	}
	return emit__end(f, 0);
}

static void write_json_value(FILE *f, const char *name, int64_t v)
{
	fprintf(f, ",\"%s\":", name);
	if (v == TIMELINE_UNKNOWN)
		fputs("null", f);
	else
		fprintf(f, "%" PRId64, v);
}

static void write_json_row(FILE *f, const struct timeline *t, const struct timeline_row *r)
{
	fprintf(f, "{\"time_unix_ms\":%" PRId64, r->time_unix_ms);
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		write_json_value(f, timeline__column_name(c), r->value[c]);
	for (size_t c = 0; r->more && c < t->nmore; c++)
		write_json_value(f, t->more_name[c], r->more[c]);
	putc('}', f);
}

int timeline_file__write_json(FILE *f, const struct timeline *const *t, size_t n)
{
	fputs("{\"schema\":\"memwatch.timeline/1\",\"processes\":[", f);
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "%s\n{\"pid\":%u,\"name\":", i ? "," : "", t[i]->pid);
		emit__json(f, t[i]->name);
		fputs(",\"rows\":[", f);
		for (size_t r = 0; r < t[i]->nrows; r++) {
			fputs(r ? ",\n" : "\n", f);
			write_json_row(f, t[i], &t[i]->rows[r]);
		}
		fputs("],\"marks\":[", f);
		for (size_t m = 0; m < t[i]->nmarks; m++) {
			fprintf(f, "%s{\"time_unix_ms\":%" PRId64 ",\"text\":", m ? "," : "",
				t[i]->marks[m].time_unix_ms);
			emit__json(f, t[i]->marks[m].text);
			putc('}', f);
		}
		fputs("]}", f);
	}
	fputs("]}\n", f);
	return emit__end(f, 0);
}

typedef int (*write_fn)(FILE *f, const struct timeline *const *t, size_t n);

static write_fn writer_of(const char *path)
{
	static const struct {
		const char *ending;
		write_fn write;
	} known[] = {
		{".csv", timeline_file__write_csv},
		{".json", timeline_file__write_json},
		{".svg", timeline_plot__write_svg},
		{".html", timeline_plot__write_html},
	};
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		size_t e = strlen(known[i].ending);

		if (len > e && !strcmp(path + len - e, known[i].ending))
			return known[i].write;
	}
	return NULL;
}

struct timeline_job {
	write_fn write;
	const struct timeline *const *t;
	size_t n;
};

static int run_job(FILE *f, void *arg)
{
	const struct timeline_job *job = arg;

	return job->write(f, job->t, job->n);
}

int timeline_file__save(const char *path, const struct timeline *const *t, size_t n)
{
	struct timeline_job job = {.write = writer_of(path), .t = t, .n = n};

	return job.write ? outfile__write(path, run_job, &job) : -EINVAL;
}
