/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_html.c - the timeline as an interactive, self-contained page; see timeline_plot.h. */
#include "format/timeline_plot.h"

#include "core/emit.h"
#include "web_bundle.h"

#include <errno.h>
#include <inttypes.h>

static const char page_head[] =
	"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	"script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:\">\n"
	"<title>memory over time</title>\n<style>";
static const char page_body[] =
	"</style>\n<body>\n<header><h1>memory over time</h1>"
	"<span class=\"dim\">drag to zoom, double click to see all</span></header>\n<main></main>\n"
	"<noscript>This page draws with JavaScript.</noscript>\n"
	"<script type=\"application/json\" id=\"data\">[";

static void write_column(FILE *f, const struct timeline *t, int c)
{
	fprintf(f, ",\n\"%s\":[", timeline__column_name(c));
	for (size_t i = 0; i < t->nrows; i++) {
		fputs(i ? "," : "", f);
		if (t->rows[i].value[c] == TIMELINE_UNKNOWN)
			fputs("null", f);
		else
			fprintf(f, "%" PRId64, t->rows[i].value[c]);
	}
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
	fputs("},\n\"marks\":[", f);
	for (size_t i = 0; i < t->nmarks; i++) {
		fprintf(f, "%s{\"time_unix_ms\":%" PRId64 ",\"text\":", i ? "," : "",
			t->marks[i].time_unix_ms);
		emit__json(f, t->marks[i].text);
		putc('}', f);
	}
	fputs("]}", f);
}

int timeline_plot__write_html(FILE *f, const struct timeline *const *t, size_t n)
{
	fputs(page_head, f);
	fwrite(web_timeline_css, 1, sizeof(web_timeline_css), f);
	fputs(page_body, f);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ",\n" : "", f);
		write_process(f, t[i]);
	}
	fputs("]</script>\n<script>", f);
	fwrite(web_timeline_js, 1, sizeof(web_timeline_js), f);
	fputs("</script>\n</body>\n</html>\n", f);
	return fflush(f) || ferror(f) ? -EIO : 0;
}
