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
#include "format/flametree.h"

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

static const char style[] =
	":root{--bg:#fff;--fg:#1c1f23;--dim:#5d6670;--edge:#fff}"
	"@media(prefers-color-scheme:dark){:root{--bg:#16181c;--fg:#e8eaed;--dim:#9aa3ad;"
	"--edge:#16181c}.f rect{filter:brightness(.88)}}"
	"text{font:11px 'DejaVu Sans Mono',ui-monospace,Menlo,Consolas,monospace;fill:#14171a}"
	".o{fill:var(--fg);font-family:system-ui,'DejaVu Sans',sans-serif;font-size:12px}"
	".t{font-size:15px;font-weight:600}.d{fill:var(--dim)}.b{cursor:pointer;text-decoration:"
	"underline}"
	".f rect{stroke:var(--edge);stroke-width:.6}.f:hover rect{stroke:var(--fg);stroke-width:1}"
	".f text{pointer-events:none}.hit rect{fill:#e83fb8!important}.miss{opacity:.45}";

/* Finds by substring or /regular expression/; r flips the graph. No name is ever parsed as markup.
 */
static const char script[] =
	"(function(){var d=document,S=d.documentElement,F=[].slice.call(d.querySelectorAll('.f')),"
	"H=+S.dataset.h,T=+S.dataset.w,flip=false;function $(i){return d.getElementById(i)}"
	"function find(q){var m=null,w=0,iv=[];if(q){try{m=new RegExp(q,'i')}catch(e){"
	"q=q.toLowerCase();m={test:function(s){return s.toLowerCase().indexOf(q)>=0}}}}"
	"F.forEach(function(g){var r=g.querySelector('rect'),h=m&&m.test(g.dataset.n);"
	"g.classList.toggle('hit',!!h);g.classList.toggle('miss',!!m&&!h);"
	"if(h)iv.push([+r.getAttribute('x'),+r.getAttribute('x')+ +r.getAttribute('width')])});"
	"iv.sort(function(a,b){return a[0]-b[0]});var e=-1;iv.forEach(function(v){var "
	"s=Math.max(v[0],e);"
	"if(v[1]>s){w+=v[1]-s;e=v[1]}});"
	"$('found').textContent=m?'matched '+(100*w/T).toFixed(1)+'%':''}"
	"function turn(){flip=!flip;F.forEach(function(g){var y=+g.dataset.y;"
	"g.setAttribute('transform','translate(0,'+(flip?H-y:y)+')')});"
	"$('turn').textContent=flip?'flame':'icicle'}"
	"$('turn').addEventListener('click',turn);$('find').addEventListener('click',function(){"
	"find(prompt('Search (text or regular expression):')||'')});"
	"$('tools').removeAttribute('display');"
	"if(location.hash.length>1)try{find(decodeURIComponent(location.hash.slice(1)))}catch(e){}}"
	")();";

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
	uint64_t h = util__hash(name, strlen(name));
	uint64_t m = util__mix64(f->module * 0x9e3779b97f4a7c15ULL);

	if (pic->t->negative) {
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

static void write_head(const struct picture *pic, int type, int height)
{
	const struct profile *p = pic->t->p;
	const char *comm = profile__text(p, p->comm);
	char value[UNITS_LEN];

	print_value(pic, pic->total, value, sizeof(value));
	/* data-h: what y and its mirror image add up to */
	fprintf(pic->f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" data-h=\"%d\" data-w=\"%d\">\n<style>%s</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"var(--bg)\"/>\n"
		"<text class=\"o t\" x=\"%d\" y=\"22\">",
		WIDTH, height, WIDTH, height, 2 * HEAD + (pic->rows - 1) * ROW, WIDTH - 2 * MARGIN,
		style, MARGIN);
	emit__xml(pic->f, *comm ? comm : "memory profile");
	if (p->pid)
		fprintf(pic->f, " <tspan class=\"d\">pid %u</tspan>", p->pid);
	fputs("</text>\n", pic->f);
	fprintf(pic->f, "<text class=\"o d\" x=\"%d\" y=\"41\">", MARGIN);
	emit__xml(pic->f, profile__text(p, p->sample_type[type].type));
	fprintf(pic->f, ": %s%s</text>\n", value,
		pic->t->negative ? "; difference: red grew, blue shrank" : "");
	fprintf(pic->f,
		"<g id=\"tools\" display=\"none\"><text class=\"o b\" id=\"turn\" "
		"text-anchor=\"end\" "
		"x=\"%d\" y=\"22\">icicle</text><text class=\"o b\" id=\"find\" "
		"text-anchor=\"end\" "
		"x=\"%d\" y=\"22\">search</text><text class=\"o\" id=\"found\" text-anchor=\"end\" "
		"x=\"%d\" y=\"41\"></text></g>\n",
		WIDTH - MARGIN, WIDTH - MARGIN - 60, WIDTH - MARGIN);
}

static void write_foot(const struct picture *pic, int height)
{
	const struct profile *p = pic->t->p;
	uint64_t lost = 0;

	for (size_t i = 0; i < p->nlosses; i++)
		lost += p->losses[i].count;
	fprintf(pic->f, "<text class=\"o d\" x=\"%d\" y=\"%d\">%zu stacks; hover for values",
		MARGIN, height - 9, p->nsamples);
	if (lost)
		fprintf(pic->f, "; %" PRIu64 " events lost", lost);
	fprintf(pic->f, "</text>\n<script>//<![CDATA[\n%s\n//]]></script>\n</svg>\n", script);
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
		write_head(&pic, type, height);
		err = pic.scale > 0 ? write_frames(&pic) : 0;
		write_foot(&pic, height);
	}
	flametree__free(t);
	return err ? err : fflush(f) || ferror(f) ? -EIO : 0;
}
