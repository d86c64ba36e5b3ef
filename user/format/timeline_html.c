/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_html.c - the timeline as an interactive, self-contained page; see timeline_plot.h. */
#include "format/timeline_plot.h"

#include "core/emit.h"
#include "format/page.h"

#include <errno.h>
#include <inttypes.h>

static void write_value(FILE *f, size_t i, int64_t v)
{
	fputs(i ? "," : "", f);
	if (v == TIMELINE_UNKNOWN)
		fputs("null", f);
	else
		fprintf(f, "%" PRId64, v);
}

static void write_column(FILE *f, const struct timeline *t, int c)
{
	fprintf(f, ",\n\"%s\":[", timeline__column_name(c));
	for (size_t i = 0; i < t->nrows; i++)
		write_value(f, i, t->rows[i].value[c]);
	putc(']', f);
}

/* A further column, if anything is known of it. */
static void write_more(FILE *f, const struct timeline *t, size_t c)
{
	size_t i = 0;

	while (i < t->nrows && (!t->rows[i].more || t->rows[i].more[c] == TIMELINE_UNKNOWN))
		i++;
	if (i == t->nrows)
		return;
	fprintf(f, ",\n\"%s\":[", t->more_name[c]);
	for (i = 0; i < t->nrows; i++)
		write_value(f, i, t->rows[i].more ? t->rows[i].more[c] : TIMELINE_UNKNOWN);
	putc(']', f);
}

static void write_process(FILE *f, const struct timeline *t)
{
	fprintf(f, "{\"pid\":%u,\"name\":", t->pid);
	emit__json(f, t->name);
	fputs(",\"columns\":{\"time_unix_ms\":[", f);
	for (size_t i = 0; i < t->nrows; i++)
		fprintf(f, "%s%" PRId64, i ? "," : "", t->rows[i].time_unix_ms);
	putc(']', f);
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		write_column(f, t, c);
	for (size_t c = 0; c < t->nmore; c++)
		write_more(f, t, c);
	fputs("},\n\"marks\":[", f);
	for (size_t i = 0; i < t->nmarks; i++) {
		fprintf(f, "%s{\"time_unix_ms\":%" PRId64 ",\"text\":", i ? "," : "",
			t->marks[i].time_unix_ms);
		emit__json(f, t->marks[i].text);
		putc('}', f);
	}
	fprintf(f, "],\"marks_left_out\":%" PRIu64 "}", t->marks_dropped);
}

struct timeline_page {
	const struct timeline *const *t;
	size_t n;
};

static int write_data(FILE *f, void *arg)
{
	const struct timeline_page *page = arg;

	putc('[', f);
	for (size_t i = 0; i < page->n; i++) {
		fputs(i ? ",\n" : "", f);
		write_process(f, page->t[i]);
	}
	putc(']', f);
	return 0;
}

int timeline_plot__write_html(FILE *f, const struct timeline *const *t, size_t n)
{
	struct timeline_page page = {t, n};

	return page__write(f, "timeline", write_data, &page);
}

int timeline_plot__write_json(FILE *f, const struct timeline *const *t, size_t n)
{
	write_data(f, &(struct timeline_page){t, n});
	return emit__end(f, 0);
}
