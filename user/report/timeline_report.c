/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/timeline_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/emit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/top_n.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "format/timeline_file.h"
#include "model/trend.h"
#include "report/load.h"
#include "sys/outfile.h"

#define DEFAULT_TOP 20
#define MAX_MARKS 100
#define MOST 9e18 /* of a size */

struct figures_of { /* of one process */
	const struct timeline *t;
	int64_t first, last, high, high_ms, virt;
	struct trend trend;
};

static int64_t first_ms(const struct timelines *t)
{
	int64_t ms = INT64_MAX;

	for (size_t i = 0; i < t->n; i++) {
		if (t->line[i].nrows)
			ms = min_of(ms, t->line[i].rows[0].time_unix_ms);
	}
	return ms;
}

static int64_t after(int64_t ms, uint64_t ns)
{
	return ns / 1000000 > (uint64_t)(INT64_MAX - max_of(ms, 0)) ? INT64_MAX
								    : ms + (int64_t)(ns / 1000000);
}

/* Rows and marks of [from, to]. */
static void cut(struct timeline *t, int64_t from_ms, int64_t to_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < t->nrows; i++) {
		if (t->rows[i].time_unix_ms >= from_ms && t->rows[i].time_unix_ms <= to_ms)
			t->rows[n++] = t->rows[i];
	}
	t->nrows = n;
	n = 0;
	for (size_t i = 0; i < t->nmarks; i++) {
		if (t->marks[i].time_unix_ms >= from_ms && t->marks[i].time_unix_ms <= to_ms)
			t->marks[n++] = t->marks[i];
		else
			free(t->marks[i].text);
	}
	t->nmarks = n;
}

static bool is_meant(const struct timeline *t, const struct timeline_report *c)
{
	return (!c->pid || t->pid == c->pid) && (!c->focus || rx__match(c->focus, t->name)) &&
	       (!c->ignore || !rx__match(c->ignore, t->name));
}

size_t timeline_report__choose(struct timelines *t, const struct timeline_report *c)
{
	const struct recording_window *w = &c->window;
	int64_t start = first_ms(t), from = w->has_from ? after(start, w->from_ns) : INT64_MIN;
	int64_t to = w->has_to ? after(start, w->to_ns) : INT64_MAX;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct timeline *line = &t->line[i];

		cut(line, from, to);
		if (line->nrows && is_meant(line, c))
			t->line[n++] = *line;
		else
			timeline__clear(line);
	}
	t->n = n;
	return n;
}

/* RSS, or the heap where RSS was not measured. */
static int64_t level(const struct timeline_row *r)
{
	return r->value[TIMELINE_RSS] != TIMELINE_UNKNOWN ? r->value[TIMELINE_RSS]
							  : r->value[TIMELINE_INUSE];
}

static int judge(const struct timeline *t, double leak_after_s, struct trend *ret)
{
	cleanup_free struct trend_point *p = calloc(t->nrows + 1, sizeof(*p));
	size_t n = 0;

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < t->nrows; i++) {
		const struct timeline_row *r = &t->rows[i];

		if (level(r) != TIMELINE_UNKNOWN)
			p[n++] = (struct trend_point){
				(double)(r->time_unix_ms - t->rows[0].time_unix_ms) / 1e3,
				(double)level(r), -1, -1};
	}
	trend__judge(p, n, NULL, 0, leak_after_s, ret);
	return 0;
}

static int measure(const struct timeline *t, double leak_after_s, struct figures_of *ret)
{
	*ret = (struct figures_of){.t = t,
				   .first = TIMELINE_UNKNOWN,
				   .high = TIMELINE_UNKNOWN,
				   .last = TIMELINE_UNKNOWN,
				   .virt = TIMELINE_UNKNOWN};
	for (size_t i = 0; i < t->nrows; i++) {
		int64_t v = level(&t->rows[i]);

		if (v == TIMELINE_UNKNOWN)
			continue;
		if (ret->first == TIMELINE_UNKNOWN)
			ret->first = v;
		if (v > ret->high) {
			ret->high = v;
			ret->high_ms = t->rows[i].time_unix_ms;
		}
		ret->last = v;
		ret->virt = t->rows[i].value[TIMELINE_VIRT];
	}
	return judge(t, leak_after_s, &ret->trend);
}

static const char *size(char buf[UNITS_LEN], int64_t v)
{
	return v == TIMELINE_UNKNOWN ? "-" : units__size(buf, UNITS_LEN, v);
}

static void print_row(FILE *f, const struct figures_of *p)
{
	const struct timeline *t = p->t;
	int64_t span_ms = t->rows[t->nrows - 1].time_unix_ms - t->rows[0].time_unix_ms;
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], s[UNITS_LEN];
	char growth[UNITS_LEN + 2] = "-";

	if (p->trend.slope_bytes_s > 0)
		snprintf(growth, sizeof(growth), "+%s",
			 size(d, (int64_t)min_of(p->trend.slope_bytes_s * 60, MOST)));
	fprintf(f, "%7u %8zu %9s %10s %10s %10s %10s %11s %-8s ", t->pid, t->nrows,
		units__time(s, sizeof(s), (uint64_t)max_of(span_ms, 0) * 1000000),
		size(a, p->first), size(b, p->last), size(c, p->high),
		size((char[UNITS_LEN]){0}, p->virt), growth, trend__short(&p->trend));
	emit__plain(f, *t->name ? t->name : "-");
	putc('\n', f);
}

static void print_details(FILE *f, const struct figures_of *p)
{
	const struct timeline *t = p->t;
	char when[WHEN_LEN], text[256];

	if (p->high != TIMELINE_UNKNOWN)
		fprintf(f, "\nhighest at %s\n", when__local(when, sizeof(when), p->high_ms));
	fprintf(f, "%s\n", trend__verdict(text, sizeof(text), &p->trend, NULL));
	for (size_t i = 0; i < t->nmarks && i < MAX_MARKS; i++) {
		fprintf(f, "%s%s  ", i ? "" : "\n",
			when__local(when, sizeof(when), t->marks[i].time_unix_ms));
		emit__plain(f, t->marks[i].text);
		putc('\n', f);
	}
	if (t->nmarks > MAX_MARKS)
		fprintf(f, "(%zu more)\n", t->nmarks - MAX_MARKS);
}

static int by_high(const void *a, const void *b)
{
	const struct figures_of *x = a, *y = b;

	if (x->high != y->high)
		return x->high < y->high ? 1 : -1;
	return (x->t->pid > y->t->pid) - (x->t->pid < y->t->pid);
}

static void print_heading(FILE *f, const struct timelines *t)
{
	int64_t from = first_ms(t), to = INT64_MIN;
	char a[WHEN_LEN], b[WHEN_LEN];

	for (size_t i = 0; i < t->n; i++)
		to = max_of(to, t->line[i].rows[t->line[i].nrows - 1].time_unix_ms);
	fprintf(f, "%zu process%s, %s to %s\n", t->n, units__es(t->n),
		when__local(a, sizeof(a), from), when__local(b, sizeof(b), to));
	fprintf(f, "%7s %8s %9s %10s %10s %10s %10s %11s %-8s %s\n", "PID", "ROWS", "SPAN",
		"RSS FIRST", "RSS LAST", "RSS PEAK", "VIRT LAST", "GROWTH/min", "TREND", "NAME");
}

int timeline_report__print(FILE *f, const struct timelines *t, const struct timeline_report *r)
{
	cleanup_free struct figures_of *p = calloc(t->n + 1, sizeof(*p));
	size_t shown = r->top < 0 ? DEFAULT_TOP : (size_t)r->top;

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		int err = measure(&t->line[i], r->window.leak_after_s, &p[i]);

		if (err)
			return err;
	}
	shown = top_n__sort(p, t->n, sizeof(*p), shown, by_high);
	print_heading(f, t);
	for (size_t i = 0; i < shown; i++)
		print_row(f, &p[i]);
	if (t->n > shown)
		fprintf(f, "(%zu more)\n", t->n - shown);
	if (t->n == 1)
		print_details(f, &p[0]);
	return emit__end(f, 0);
}

static int save(const struct timeline_report *r, const struct timelines *t)
{
	cleanup_free const struct timeline **all = calloc(t->n + 1, sizeof(*all));
	int failed = all ? 0 : -ENOMEM;

	for (size_t i = 0; all && i < t->n; i++)
		all[i] = &t->line[i];
	if (all && r->json)
		failed = timeline_file__write_json(stdout, all, t->n);
	for (size_t i = 0; all && i < r->noutputs; i++) {
		int err = timeline_file__save(r->output[i], all, t->n);

		if (!err)
			continue;
		log_error("failed to write '%s': %s", r->output[i],
			  err == -EINVAL ? "a timeline's name ends in .csv, .json, .svg or .html"
					 : outfile__strerror(err));
		failed = err;
	}
	return failed;
}

static void tell_nothing(const struct timeline_report *r, size_t nprocesses)
{
	if (r->pid)
		log_error("no process %u in '%s', which has %zu", r->pid, r->path, nprocesses);
	else
		log_error("nothing in '%s', which has %zu processes, is of what was asked for",
			  r->path, nprocesses);
}

int timeline_report__run(const struct timeline_report *r)
{
	cleanup_free char *buf = NULL;
	struct timelines t = {0};
	char why[256] = "out of memory";
	size_t len, n;
	int err;

	progress__begin("reading '%s'", r->path);
	err = load__bytes(r->path, &buf, &len, why, sizeof(why));
	if (!err)
		err = timeline_read__buffer(buf, len, &t, why, sizeof(why));
	progress__end();
	if (err) {
		log_error("failed to read '%s': %s", r->path, why);
		return err;
	}
	n = t.n;
	if (!timeline_report__choose(&t, r)) {
		tell_nothing(r, n);
		err = -ENOENT;
	}
	if (!err)
		err = save(r, &t);
	if (!err && !r->json && !r->quiet)
		err = timeline_report__print(stdout, &t, r);
	timelines__clear(&t);
	return err;
}
