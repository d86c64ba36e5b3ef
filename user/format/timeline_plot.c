/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_plot.c - the static picture; see timeline_plot.h. Coordinates are in CSS pixels. */
#include "format/timeline_plot.h"

#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "core/webfile.h"
#include "model/timeline_biggest.h"

#include <inttypes.h>
#include <math.h>
#include <time.h>

enum {
	WIDTH = 960,
	LEFT = 76,
	RIGHT = 16,
	PLOT_WIDTH = WIDTH - LEFT - RIGHT,
	TITLE = 58, /* title and legend above the main plot */
	MAIN = 240,
	GAP = 30,
	STRIP = 80,
	FOOT = 44,
	BLOCK = TITLE + MAIN + GAP + STRIP + FOOT, /* height of one process */
};

struct span { /* what one plot shows */
	int64_t t0, t1;
	double top; /* value at the upper edge, bytes */
	double x0, y0, height;
};

static double x_of(const struct span *s, int64_t t)
{
	return s->x0 + (double)(t - s->t0) / (double)max_of(s->t1 - s->t0, (int64_t)1) * PLOT_WIDTH;
}

static double y_of(const struct span *s, double v)
{
	return s->y0 + s->height * (1 - v / s->top);
}

static double known(const struct timeline_row *r, enum timeline_column c)
{
	return r->value[c] == TIMELINE_UNKNOWN ? 0 : (double)r->value[c];
}

/* 1, 2 or 5 times a power of ten of a binary unit, for at most `n` steps up to `max` bytes. */
static double nice_bytes(double max, int n)
{
	double unit = 1, step;

	while (max / unit >= 1024 * 1.5)
		unit *= 1024;
	step = pow(10, floor(log10(max / unit / n)));
	if (step < 1 && unit == 1)
		step = 1;
	for (int k = 0; step * unit * n < max; k++)
		step *= k % 3 == 1 ? 2.5 : 2;
	return step * unit;
}

static int64_t nice_ms(int64_t span, int n)
{
	static const int step_s[] = {1,	    2,	   5,	  10,	 15,	 30,	60,
				     120,   300,   600,	  900,	 1800,	 3600,	7200,
				     10800, 21600, 43200, 86400, 172800, 604800};
	int64_t days = 604800;

	for (size_t i = 0; i < ARRAY_SIZE(step_s); i++)
		if ((int64_t)step_s[i] * 1000 * n >= span)
			return (int64_t)step_s[i] * 1000;
	while (days * 1000 * n < span)
		days *= 2;
	return days * 1000;
}

static void write_scale(FILE *f, struct span *s, double max, int n)
{
	double step = nice_bytes(max > 0 ? max : 1, n);
	char b[UNITS_LEN];

	s->top = ceil((max > 0 ? max : 1) / step) * step;
	for (double v = 0; v <= s->top + step / 2; v += step) {
		double y = y_of(s, v);

		fprintf(f,
			"<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"d\" text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
			s->x0, s->x0 + PLOT_WIDTH, y, y, s->x0 - 8, y + 4,
			units__size(b, sizeof(b), (int64_t)v));
	}
}

static void write_time_axis(FILE *f, const struct span *s, double y)
{
	int64_t step = nice_ms(s->t1 - s->t0, 8);
	time_t zone_at = s->t0 / 1000;
	struct tm tm;
	int64_t off;

	localtime_r(&zone_at, &tm);
	off = (int64_t)tm.tm_gmtoff * 1000; /* so that ticks fall on whole local hours */
	for (int64_t t = (s->t0 + off + step - 1) / step * step - off; t <= s->t1; t += step) {
		time_t sec = t / 1000;
		char b[32];
		double x = x_of(s, t);

		localtime_r(&sec, &tm);
		strftime(b, sizeof(b),
			 step >= 86400000 ? "%m-%d"
			 : step >= 60000  ? "%H:%M"
					  : "%H:%M:%S",
			 &tm);
		fprintf(f,
			"<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"d\" text-anchor=\"middle\" x=\"%.1f\" "
			"y=\"%.1f\">%s</text>\n",
			x, x, s->y0 + s->height, s->y0 + s->height + 5, x, y, b);
	}
}

/* The band between the sums of columns before and up to `n` of `order`. */
static void write_band(FILE *f, const struct span *s, const struct timeline *t,
		       const enum timeline_column *order, int n, const char *colour)
{
	fprintf(f, "<path fill=\"var(%s)\" d=\"", colour);
	for (size_t i = 0; i < t->nrows; i++) {
		double v = 0;

		for (int c = 0; c <= n; c++)
			v += known(&t->rows[i], order[c]);
		fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', x_of(s, t->rows[i].time_unix_ms),
			y_of(s, v));
	}
	for (size_t i = t->nrows; i-- > 0;) {
		double v = 0;

		for (int c = 0; c < n; c++)
			v += known(&t->rows[i], order[c]);
		fprintf(f, "L%.1f %.1f", x_of(s, t->rows[i].time_unix_ms), y_of(s, v));
	}
	fputs("Z\"/>\n", f);
}

static void write_line(FILE *f, const struct span *s, const struct timeline *t,
		       enum timeline_column c, const char *colour, double width)
{
	bool pen_up = true;

	fprintf(f, "<path fill=\"none\" stroke=\"var(%s)\" stroke-width=\"%.1f\" d=\"", colour,
		width);
	for (size_t i = 0; i < t->nrows; i++) {
		const struct timeline_row *r = &t->rows[i];

		if (r->value[c] == TIMELINE_UNKNOWN) {
			pen_up = true;
			continue;
		}
		fprintf(f, "%c%.1f %.1f", pen_up ? 'M' : 'L', x_of(s, r->time_unix_ms),
			y_of(s, (double)r->value[c]));
		pen_up = false;
	}
	fputs("\"/>\n", f);
}

static void write_marks(FILE *f, const struct span *s, const struct timeline *t, double bottom)
{
	for (size_t i = 0; i < t->nmarks; i++) {
		double x = x_of(s, t->marks[i].time_unix_ms);
		bool right = x > s->x0 + PLOT_WIDTH * 0.8;

		if (x < s->x0 - 0.5 || x > s->x0 + PLOT_WIDTH + 0.5)
			continue;
		fprintf(f,
			"<line class=\"m\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"mt\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">",
			x, x, s->y0, bottom, right ? "end" : "start", right ? x - 4 : x + 4,
			s->y0 + 12 + (double)(i % 4) * 13);
		emit__xml(f, t->marks[i].text);
		fputs("</text>\n", f);
	}
}

static bool measured(const struct timeline *t, enum timeline_column c)
{
	for (size_t i = 0; i < t->nrows; i++)
		if (t->rows[i].value[c] != TIMELINE_UNKNOWN)
			return true;
	return false;
}

/* Legend entries with the last and the highest value of each kind. */
static void write_legend(FILE *f, const struct timeline *t, double y)
{
	static const struct {
		enum timeline_column c;
		const char *name, *colour;
	} entry[] = {{TIMELINE_RSS_ANON, "RSS anonymous", "--anon"},
		     {TIMELINE_RSS_SHMEM, "shared", "--shmem"},
		     {TIMELINE_RSS_FILE, "file", "--file"},
		     {TIMELINE_INUSE, "heap in use", "--heap"},
		     {TIMELINE_VIRT, "VIRT (below)", "--virt"}};
	double x = LEFT;

	for (size_t i = 0; i < ARRAY_SIZE(entry); i++) {
		char b[UNITS_LEN];

		if (!t->nrows || !measured(t, entry[i].c))
			continue;
		units__size(b, sizeof(b), (int64_t)known(&t->rows[t->nrows - 1], entry[i].c));
		fprintf(f,
			"<rect x=\"%.0f\" y=\"%.0f\" width=\"10\" height=\"10\" rx=\"2\" "
			"fill=\"var(%s)\"/><text x=\"%.0f\" y=\"%.0f\">%s <tspan class=\"d\">%s"
			"</tspan></text>\n",
			x, y - 9, entry[i].colour, x + 15, y, entry[i].name, b);
		x += 176;
	}
}

static void write_process(FILE *f, const struct timeline *t, double y)
{
	static const enum timeline_column order[] = {TIMELINE_RSS_ANON, TIMELINE_RSS_SHMEM,
						     TIMELINE_RSS_FILE, TIMELINE_RSS};
	static const char *const colour[] = {"--anon", "--shmem", "--file"};
	struct span s = {.x0 = LEFT, .y0 = y + TITLE, .height = MAIN};
	struct span v = {.x0 = LEFT, .y0 = y + TITLE + MAIN + GAP, .height = STRIP};
	double max = 0, virt = 0;
	bool kinds = measured(t, TIMELINE_RSS_ANON);
	char b[UNITS_LEN];
	time_t sec;
	struct tm tm;
	char date[64];

	fprintf(f, "<text class=\"t\" x=\"%d\" y=\"%.0f\">", LEFT, y + 22);
	emit__xml(f, t->name);
	if (t->pid)
		fprintf(f, " <tspan class=\"d\">pid %u</tspan>", t->pid);
	fputs("</text>\n", f);
	if (!t->nrows) {
		fprintf(f, "<text class=\"d\" x=\"%d\" y=\"%.0f\">nothing was recorded</text>\n",
			LEFT, y + TITLE);
		return;
	}
	for (size_t i = 0; i < t->nrows; i++) {
		const struct timeline_row *r = &t->rows[i];
		double sum = known(r, TIMELINE_RSS_ANON) + known(r, TIMELINE_RSS_SHMEM) +
			     known(r, TIMELINE_RSS_FILE);

		max = fmax(max, fmax(fmax(sum, known(r, TIMELINE_RSS)), known(r, TIMELINE_INUSE)));
		virt = fmax(virt, known(r, TIMELINE_VIRT));
	}
	s.t0 = v.t0 = t->rows[0].time_unix_ms;
	s.t1 = v.t1 = t->rows[t->nrows - 1].time_unix_ms;
	sec = s.t0 / 1000;
	localtime_r(&sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %Z", &tm);
	fprintf(f, "<text class=\"d\" text-anchor=\"end\" x=\"%d\" y=\"%.0f\">from %s, %s</text>\n",
		LEFT + PLOT_WIDTH, y + 22, date,
		units__time(b, sizeof(b), (uint64_t)(s.t1 - s.t0) * 1000000));
	write_legend(f, t, y + 44);
	write_scale(f, &s, max, 5);
	for (int k = 0; k < 3 && kinds; k++)
		write_band(f, &s, t, order, k, colour[k]);
	if (!kinds)
		write_band(f, &s, t, order + 3, 0, "--anon");
	write_line(f, &s, t, TIMELINE_INUSE, "--heap", 2);
	write_scale(f, &v, virt, 2);
	write_line(f, &v, t, TIMELINE_VIRT, "--virt", 1.5);
	fprintf(f, "<text class=\"d\" x=\"%d\" y=\"%.0f\">VIRT</text>\n", LEFT + 6, v.y0 - 6);
	write_time_axis(f, &v, v.y0 + STRIP + 18);
	write_marks(f, &s, t, v.y0 + STRIP);
}

#define DRAWN 20 /* processes; of more than a few more, the others are summed */

static int write_picture(FILE *f, const struct timeline *const *t, size_t n,
			 const struct timeline *rest)
{
	size_t blocks = max_of(n + (rest != NULL), (size_t)1);
	int err;

	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %zu\" width=\"%d\" "
		"height=\"%zu\" role=\"img\">\n<title>memory over time</title>\n<style>",
		WIDTH, blocks * BLOCK, WIDTH, blocks * BLOCK);
	err = webfile__put(f, "timeline_svg.css");
	fputs("</style>\n<rect width=\"100%\" height=\"100%\" fill=\"var(--bg)\"/>\n", f);
	for (size_t i = 0; i < n; i++)
		write_process(f, t[i], (double)(i * BLOCK));
	if (rest)
		write_process(f, rest, (double)(n * BLOCK));
	fputs("</svg>\n", f);
	return emit__end(f, err);
}

int timeline_plot__write_svg(FILE *f, const struct timeline *const *t, size_t n)
{
	struct timeline_biggest big;
	int err = timeline_biggest__new(&big, t, n, DRAWN);

	err = err ? err : write_picture(f, big.t, big.n, big.rest.name[0] ? &big.rest : NULL);
	timeline_biggest__free(&big);
	return err;
}
