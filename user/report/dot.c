/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dot.c - the call graph in graphviz's language, as pprof draws it: boxes whose size tells flat and
 * whose shade tells cum, arrows by what flows along them, dotted over functions that are left out,
 * the samples' labels beside the boxes. Names are shortened and broken into lines.
 */
#include "core/emit.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "report/dot_names.h"
#include "report/dot_tags.h"
#include "report/measure.h"
#include "report/report.h"

#include <math.h>
#include <string.h>

struct dot_picture {
	struct report *r;
	struct graph *g;
	FILE *f;
	struct shortener *names;
	uint32_t *id; /* of a node, from 1; 0: not shown */
	bool *tagged; /* labels are drawn beside it */
	int64_t max_flat;
	int err; /* the first failure beside those of f */
};

static void fail(struct dot_picture *p, int err)
{
	if (!p->err)
		p->err = err;
}

/* Grey at 0, red towards 1, green towards -1. */
static void shade(double score, bool background, char buf[8])
{
	double saturation = background ? 0.1 : 1, value = background ? 0.93 : 0.7;
	double r, g, b;

	score = isnan(score) ? 0 : fmax(-1, fmin(1, score));
	if (fabs(score) < 0.2)
		saturation *= fabs(score) / 0.2;
	if (score > 0)
		score = pow(score, 0.3);
	else if (score < 0)
		score = -pow(-score, 0.3);
	r = score < 0 ? value * (1 + saturation * score) : value;
	g = score < 0 ? value : value * (1 - saturation * score);
	b = value * (1 - saturation);
	snprintf(buf, 8, "#%02x%02x%02x", (int)(r * 255) & 0xff, (int)(g * 255) & 0xff,
		 (int)(b * 255) & 0xff);
}

static double share(const struct dot_picture *p, int64_t v)
{
	return (double)v / fabs((double)p->r->total);
}

static const char *trimmed_percent(const struct dot_picture *p, int64_t v, char *buf)
{
	measure__percent(buf, MEASURE_LEN, v, p->r->total);
	return buf + strspn(buf, " ");
}

/* "1.50MB (12%)", "of 2MB (16%)". */
static void node_values(const struct dot_picture *p, int64_t flat, int64_t cum)
{
	char text[MEASURE_LEN], percent[MEASURE_LEN];

	report__value(p->r, flat, text, sizeof(text));
	if (flat)
		fprintf(p->f, "%s (%s)", text, trimmed_percent(p, flat, percent));
	else
		fputs("0", p->f);
	if (cum == flat)
		return;
	report__value(p->r, cum, text, sizeof(text));
	fprintf(p->f, "%sof %s (%s)", flat ? "\\n" : " ", text, trimmed_percent(p, cum, percent));
}

static void put_node(struct dot_picture *p, uint32_t node)
{
	const struct graph_node *n = &p->g->nodes[node];
	int64_t flat = graph__flat(n), cum = graph__cum(n);
	double size = 8;
	char text[MEASURE_LEN], line[8], fill[8];

	if (p->max_flat && flat)
		size += ceil(16 * sqrt(fabs((double)flat) / (double)p->max_flat));
	fprintf(p->f, "N%u [label=\"", p->id[node]);
	fail(p, dot_names__label(p->f, p->names, p->g, node));
	node_values(p, flat, cum);
	report__value(p->r, cum, text, sizeof(text));
	shade(share(p, cum), false, line);
	shade(share(p, cum), true, fill);
	fprintf(p->f, "\" id=\"node%u\" fontsize=%.0f shape=box tooltip=\"", p->id[node], size);
	dot_names__escaped(p->f, graph__label(p->g, node));
	fprintf(p->f, " (%s)\" color=\"%s\" fillcolor=\"%s\"]\n", text, line, fill);
}

/* 1 and the value's part of the total in so many parts, at most all of them more. */
static int parts(const struct dot_picture *p, int64_t v, int64_t all)
{
	int64_t n = graph__quotient((int64_t)((uint64_t)v * (uint64_t)all), p->r->total);

	return 1 + (int)min_of(n < 0 ? (int64_t) - (uint64_t)n : n, all);
}

static void put_edge(struct dot_picture *p, const struct graph_edge *e)
{
	int64_t w = graph__quotient(e->weight, e->weight_div);
	char text[MEASURE_LEN], line[8];

	report__value(p->r, w, text, sizeof(text));
	fprintf(p->f, "N%u -> N%u [label=\" %s%s\"", p->id[e->src], p->id[e->dst], text,
		e->inlined ? "\\n (inline)" : "");
	if (p->r->total) {
		if (parts(p, w, 100) > 1)
			fprintf(p->f, " weight=%d", parts(p, w, 100));
		if (parts(p, w, 5) > 1)
			fprintf(p->f, " penwidth=%d", parts(p, w, 5));
		shade(share(p, w), false, line);
		fprintf(p->f, " color=\"%s\"", line);
	}
	for (int i = 0; i < 2; i++) {
		fputs(i ? " labeltooltip=\"" : " tooltip=\"", p->f);
		dot_names__escaped(p->f, graph__label(p->g, e->src));
		fputs(e->residual ? " ... " : " -> ", p->f);
		dot_names__escaped(p->f, graph__label(p->g, e->dst));
		fprintf(p->f, " (%s)\"", text);
	}
	fputs(e->residual ? " style=\"dotted\"" : "", p->f);
}

/* The title box: the same lines as above a table. */
static void put_legend(struct dot_picture *p, const struct graph_options *o)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	char *end;

	if (f) {
		report__heading(p->r, f, p->g, o, true);
		fputs("\nSee https://git.io/JfYMW for how to read the graph", f);
	}
	if (!f || fclose(f)) {
		fail(p, -ENOMEM);
		return;
	}
	end = strchr(text, '\n');
	fputs("subgraph cluster_L { \"", p->f);
	*end = 0;
	dot_names__escaped(p->f, text);
	*end = '\n';
	fputs("\" [shape=box fontsize=16 label=\"", p->f);
	dot_names__lines(p->f, text, "\\l");
	fputs("\\l\"", p->f);
}

static const char *title(const struct profile *p)
{
	return report__base(p->nmappings ? profile__text(p, p->mappings[0].file) : "");
}

static void put_nodes(struct dot_picture *p)
{
	struct graph *g = p->g;

	for (size_t i = 0; i < g->norder; i++) {
		int64_t flat = graph__flat(&g->nodes[g->order[i]]);

		p->id[g->order[i]] = i + 1;
		p->max_flat = max_of(p->max_flat, flat < 0 ? (int64_t) - (uint64_t)flat : flat);
	}
	for (size_t i = 0; i < g->norder && !p->err; i++) {
		put_node(p, g->order[i]);
		fail(p, dot_tags__put(p->r, p->f, g, g->order[i], i + 1, &p->tagged[g->order[i]]));
	}
}

static void put_edges(struct dot_picture *p)
{
	struct graph *g = p->g;
	cleanup_free uint32_t *edge = malloc((g->nedges + 1) * sizeof(*edge));
	size_t n = 0;

	if (!edge) {
		fail(p, -ENOMEM);
		return;
	}
	for (size_t i = 0; i < g->nedges; i++) {
		if (p->id[g->edges[i].src] && p->id[g->edges[i].dst])
			edge[n++] = i;
	}
	graph__sort_edges(g, edge, n);
	for (size_t i = 0; i < n; i++) {
		const struct graph_edge *e = &g->edges[edge[i]];

		put_edge(p, e);
		fputs(p->tagged[e->src] ? " minlen=2]\n" : "]\n", p->f);
	}
}

static void draw(struct dot_picture *p, const struct graph_options *o)
{
	const char *name = title(p->r->p);

	fputs("digraph \"", p->f);
	dot_names__escaped(p->f, *name ? name : "unnamed");
	fputs("\" {\nnode [style=filled fillcolor=\"#f8f8f8\"]\n", p->f);
	put_legend(p, o);
	if (*name) {
		fputs(" tooltip=\"", p->f);
		dot_names__escaped(p->f, name);
		fputs("\"", p->f);
	}
	fputs("] }\n", p->f);
	put_nodes(p);
	put_edges(p);
	fputs("}\n", p->f);
}

int report__dot(struct report *r, FILE *f)
{
	struct graph_options o = report__trimming(r, REPORT_TREE_NODES);
	struct dot_picture p = {.r = r, .f = f};
	struct graph g;
	int err;

	o.edges = o.visual = true;
	o.call_tree = r->o.call_tree;
	o.tag_unit = r->out_unit;
	o.tag_units = dot_tags__unit(r);
	err = report__graph(r, &g, &o);
	if (err)
		return err;
	p.g = &g;
	p.id = calloc(g.nnodes + 1, sizeof(*p.id));
	p.tagged = calloc(g.nnodes + 1, sizeof(*p.tagged));
	p.err = p.id && p.tagged ? dot_names__new(&p.names) : -ENOMEM;
	report__select_unit(r, &g, false);
	if (!p.err)
		draw(&p, &o);
	dot_names__free(p.names);
	free(p.id);
	free(p.tagged);
	graph__free(&g);
	return emit__end(f, p.err);
}
