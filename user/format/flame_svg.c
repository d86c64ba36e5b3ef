/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flame_svg.c - the static flame graph: one rectangle with a hover title for each frame that is
 * wide enough to be seen, and a small script to search, and to turn it into an icicle. Without
 * scripts (inside <img>) it is a picture. Colours follow the viewer's light or dark setting.
 */
#include "format/flame.h"

#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "core/webfile.h"
#include "model/flametree.h"
#include "model/losses.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
	WIDTH = 1200,
	MARGIN = 10,
	ROW = 17,
	HEAD = 52,
	FOOT = 26,
	CHAR_10 = 64, /* tenths of a pixel that a character of a label takes, about */
};
#define MIN_WIDTH 0.25 /* pixels; narrower frames are left out with all above them */

struct picture {
	FILE *f;
	const struct flametree *t;
	const double *value, *weight;
	double scale; /* pixels per unit of weight */
	double total; /* net value of all */
	bool bytes;
	int rows;
};

static void print_value(const struct picture *pic, double v, char *buf, size_t len)
{
	if (pic->bytes)
		units__size(buf, len, (int64_t)llround(v));
	else
		snprintf(buf, len, "%.0f", v);
}

/* Warm hues by module and name; differences: red grew, blue shrank; pseudo-frames grey. */
static void colour(const struct picture *pic, uint32_t node, const char *name, char *buf,
		   size_t len)
{
	const struct flametree_frame *f = &pic->t->frames[pic->t->nodes[node].frame];
	uint64_t h = util__checksum(name, strlen(name));
	uint64_t m = util__mix64(f->module * 0x9e3779b97f4a7c15ULL);

	if (pic->t->difference) {
		double share = pic->value[node] / fmax(pic->weight[node], 1);

		snprintf(buf, len, "hsl(%d %d%% %d%%)", share >= 0 ? 4 : 214,
			 20 + (int)(fabs(share) * 65), 88 - (int)(fabs(share) * 22));
	} else if (name[0] == '[') {
		snprintf(buf, len, "hsl(0 0%% %d%%)", 72 + (int)(h % 10));
	} else {
		snprintf(buf, len, "hsl(%d %d%% %d%%)", (int)((m % 5) * 14 + h % 12),
			 70 + (int)(h >> 8) % 20, 62 + (int)(h >> 16) % 12);
	}
}

/* A label that fits: cut at whole characters, with two dots; nothing under three characters. */
static void write_label(FILE *f, const char *name, double x, double width)
{
	struct textbuf plain = {0};
	int room = (int)((width - 6) * 10 / CHAR_10), chars = 0;
	size_t cut = 0, at = 0;

	textbuf__plain(&plain, name, "");
	if (room < 3 || plain.err)
		goto out;
	while (plain.text[at]) {
		if (chars == room - 2)
			cut = at;
		at += max_of(textbuf__utf8_len(plain.text + at), (size_t)1);
		chars++;
	}
	if (chars > room)
		plain.text[cut] = 0;
	fprintf(f, "<text x=\"%.1f\" y=\"12\">", x + 3);
	emit__xml(f, plain.text);
	fprintf(f, "%s</text>", chars > room ? ".." : "");
out:
	textbuf__free(&plain);
}

static void write_frame(const struct picture *pic, uint32_t node, double x)
{
	const struct flametree_frame *frame = &pic->t->frames[pic->t->nodes[node].frame];
	double width = pic->weight[node] * pic->scale;
	int y = HEAD + (pic->rows - (int)pic->t->nodes[node].depth) * ROW;
	char address[160], fill[48], value[UNITS_LEN];
	const char *name = flametree__name(pic->t, frame, address, sizeof(address));

	colour(pic, node, name, fill, sizeof(fill));
	print_value(pic, pic->value[node], value, sizeof(value));
	fprintf(pic->f, "<g class=\"f\" data-y=\"%d\" transform=\"translate(0,%d)\" data-n=\"", y,
		y);
	emit__xml(pic->f, name);
	fputs("\"><title>", pic->f);
	emit__xml(pic->f, name);
	fprintf(pic->f, "\n%s", value);
	if (pic->total != 0)
		fprintf(pic->f, " (%.2f%%)", 100 * pic->value[node] / fabs(pic->total));
	if (frame->module) {
		fputs("\n", pic->f);
		emit__xml(pic->f, profile__text(pic->t->p, frame->module));
	}
	if (frame->file) {
		fputs("\n", pic->f);
		emit__xml(pic->f, profile__text(pic->t->p, frame->file));
	}
	fprintf(pic->f,
		"</title><rect x=\"%.2f\" width=\"%.2f\" height=\"%d\" rx=\"1.5\" fill=\"%s\"/>", x,
		width, ROW - 1, fill);
	write_label(pic->f, name, x, width);
	fputs("</g>\n", pic->f);
}

struct tree_child {
	uint32_t node;
	double weight;
};

static int heavier_first(const void *a, const void *b)
{
	const struct tree_child *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	return (x->node > y->node) - (x->node < y->node);
}

struct pending_frame {
	uint32_t node;
	double x;
};

/* Draws what is wide enough, heaviest child first; an explicit stack, as traces may be deep. */
static int write_frames(struct picture *pic)
{
	cleanup_free struct pending_frame *todo = NULL;
	cleanup_free struct tree_child *kids = NULL;
	size_t ntodo = 0, todo_cap = 0, kids_cap = 0;
	int err = array_reserve(todo, todo_cap, 1);

	if (err)
		return err;
	todo[ntodo++] = (struct pending_frame){0, MARGIN};
	while (ntodo) {
		struct pending_frame at = todo[--ntodo];
		size_t n = 0;

		if (at.node)
			write_frame(pic, at.node, at.x);
		for (uint32_t c = pic->t->nodes[at.node].child; c; c = pic->t->nodes[c].sibling) {
			if (pic->weight[c] * pic->scale < MIN_WIDTH)
				continue;
			err = array_reserve(kids, kids_cap, n + 1);
			if (err)
				return err;
			kids[n++] = (struct tree_child){c, pic->weight[c]};
		}
		if (!n)
			continue;
		qsort(kids, n, sizeof(*kids), heavier_first);
		err = array_reserve(todo, todo_cap, ntodo + n);
		if (err)
			return err;
		for (size_t i = 0; i < n; i++) {
			todo[ntodo++] = (struct pending_frame){kids[i].node, at.x};
			at.x += kids[i].weight * pic->scale;
		}
	}
	return 0;
}

static int visible_rows(const struct picture *pic)
{
	int rows = 1;

	for (size_t i = 1; i < pic->t->nnodes; i++)
		if (pic->weight[i] * pic->scale >= MIN_WIDTH)
			rows = max_of(rows, (int)pic->t->nodes[i].depth);
	return rows;
}

static int write_head(const struct picture *pic, int type, int height)
{
	const struct profile *p = pic->t->p;
	const char *comm = profile__text(p, p->comm);
	char value[UNITS_LEN];
	int err;

	print_value(pic, pic->total, value, sizeof(value));
	/* data-h: what y and its mirror image add up to */
	fprintf(pic->f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" data-h=\"%d\" data-w=\"%d\" role=\"graphics-document document\" "
		"aria-label=\"flame graph of ",
		WIDTH, height, WIDTH, height, 2 * HEAD + (pic->rows - 1) * ROW, WIDTH - 2 * MARGIN);
	emit__xml(pic->f, *comm ? comm : "a memory profile");
	fputs("\">\n<style>", pic->f);
	err = webfile__put(pic->f, "flame_svg.css");
	fprintf(pic->f,
		"</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"var(--bg)\"/>\n"
		"<text class=\"o t\" x=\"%d\" y=\"22\">",
		MARGIN);
	emit__xml(pic->f, *comm ? comm : "memory profile");
	if (p->pid)
		fprintf(pic->f, " <tspan class=\"d\">pid %u</tspan>", p->pid);
	fputs("</text>\n", pic->f);
	fprintf(pic->f, "<text class=\"o d\" x=\"%d\" y=\"41\">", MARGIN);
	emit__xml(pic->f, profile__text(p, p->sample_type[type].type));
	fprintf(pic->f, ": %s%s</text>\n", value,
		pic->t->difference ? "; difference: red grew, blue shrank" : "");
	fprintf(pic->f,
		"<g id=\"tools\" display=\"none\"><text class=\"o b\" id=\"turn\" role=\"button\" "
		"tabindex=\"0\" text-anchor=\"end\" x=\"%d\" y=\"22\">icicle</text>"
		"<text class=\"o b\" id=\"find\" role=\"button\" tabindex=\"0\" "
		"text-anchor=\"end\" x=\"%d\" y=\"22\">search</text>"
		"<text class=\"o\" id=\"found\" role=\"status\" text-anchor=\"end\" "
		"x=\"%d\" y=\"41\"></text></g>\n",
		WIDTH - MARGIN, WIDTH - MARGIN - 60, WIDTH - MARGIN);
	return err;
}

static int write_foot(const struct picture *pic, int height)
{
	const struct profile *p = pic->t->p;
	uint64_t cut, lost = losses__of_profile(p, &cut);
	int err;

	fprintf(pic->f, "<text class=\"o d\" x=\"%d\" y=\"%d\">%zu stack%s; hover for values",
		MARGIN, height - 9, p->nsamples, units__s(p->nsamples));
	if (lost)
		fprintf(pic->f, "; %" PRIu64 " event%s lost", lost, units__s(lost));
	if (cut)
		fprintf(pic->f, "; %" PRIu64 " stack%s cut", cut, units__s(cut));
	fputs("</text>\n<script>//<![CDATA[\n", pic->f);
	err = webfile__put(pic->f, "flame_svg.js");
	fputs("//]]></script>\n</svg>\n", pic->f);
	return err;
}

int flame__write_svg(FILE *f, const struct profile *p, int type)
{
	cleanup_free double *value = NULL, *weight = NULL;
	struct picture pic = {.f = f};
	struct flametree *t;
	int height, err;

	if (type < 0 || (size_t)type >= p->nvalues)
		return -EINVAL;
	err = flametree__new(p, &t);
	if (err)
		return err;
	value = malloc(t->nnodes * sizeof(*value));
	weight = malloc(t->nnodes * sizeof(*weight));
	err = value && weight ? 0 : -ENOMEM;
	if (!err) {
		flametree__sum(t, type, value, weight);
		pic.t = t;
		pic.value = value;
		pic.weight = weight;
		pic.total = value[0];
		pic.scale = weight[0] > 0 ? (WIDTH - 2 * MARGIN) / weight[0] : 0;
		pic.bytes = !strcmp(profile__text(p, p->sample_type[type].unit), "bytes");
		pic.rows = visible_rows(&pic);
		height = HEAD + pic.rows * ROW + FOOT;
		err = write_head(&pic, type, height);
		err = err || !(pic.scale > 0) ? err : write_frames(&pic);
		err = err ? err : write_foot(&pic, height);
	}
	flametree__free(t);
	return emit__end(f, err);
}
