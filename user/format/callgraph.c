/* SPDX-License-Identifier: GPL-2.0-or-later */
/* callgraph.c - from call tree to graph; callgraph_dot.c runs graphviz. See callgraph.h. */
#include "format/callgraph.h"

#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "format/flametree.h"

#include <math.h>
#include <string.h>

struct edge {
	uint32_t from, to; /* frames */
	double value;
	bool residual; /* functions between were left out */
};

struct call_graph {
	const struct flametree *t;
	double *value;	    /* per tree node */
	double *flat, *cum; /* per frame */
	bool *keep;
	struct edge *edges;
	size_t nedges, edges_cap;
	double total;
	bool bytes;
};

static bool has_ancestor_frame(const struct flametree *t, uint32_t node)
{
	uint32_t frame = t->nodes[node].frame;

	for (uint32_t n = t->nodes[node].parent; n; n = t->nodes[n].parent)
		if (t->nodes[n].frame == frame)
			return true;
	return false;
}

static void sum_frames(struct call_graph *g, int type)
{
	const struct flametree *t = g->t;

	for (uint32_t i = 1; i < t->nnodes; i++) {
		uint32_t f = t->nodes[i].frame;

		g->flat[f] += (double)t->self[(size_t)i * t->p->nvalues + type];
		if (!has_ancestor_frame(t, i))
			g->cum[f] += g->value[i];
	}
}

struct rank {
	uint32_t frame;
	double score;
};

static int by_score(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x->frame > y->frame) - (x->frame < y->frame);
}

/* Frames above the fraction; if they are too many, those with the most flat and cum. */
static int choose_frames(struct call_graph *g, double fraction)
{
	cleanup_free struct rank *r = malloc((g->t->nframes + 1) * sizeof(*r));
	size_t n = 0;

	if (!r)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->t->nframes; i++) {
		if (fabs(g->cum[i]) > 0 && fabs(g->cum[i]) >= fraction * fabs(g->total))
			r[n++] = (struct rank){i, fabs(g->flat[i]) * 4 + fabs(g->cum[i])};
	}
	qsort(r, n, sizeof(*r), by_score);
	for (size_t i = 0; i < n && i < CALLGRAPH_MAX_NODES; i++)
		g->keep[r[i].frame] = true;
	return 0;
}

/* The nearest kept ancestor with another frame; 0 if there is none. */
static uint32_t kept_parent(const struct call_graph *g, uint32_t node, bool *ret_residual)
{
	const struct flametree_node *nodes = g->t->nodes;
	uint32_t n = nodes[node].parent;

	*ret_residual = false;
	while (n && !g->keep[nodes[n].frame]) {
		*ret_residual = true;
		n = nodes[n].parent;
	}
	return n;
}

/* Does a frame pair occur further up the same path? Then recursion has counted it already. */
static bool edge_above(const struct call_graph *g, uint32_t parent, uint32_t from, uint32_t to)
{
	const struct flametree_node *nodes = g->t->nodes;
	bool residual;

	for (uint32_t n = parent; n;) {
		uint32_t up = kept_parent(g, n, &residual);

		if (up && nodes[n].frame == to && nodes[up].frame == from)
			return true;
		n = up;
	}
	return false;
}

static int collect_edges(struct call_graph *g)
{
	const struct flametree_node *nodes = g->t->nodes;

	for (uint32_t i = 1; i < g->t->nnodes; i++) {
		struct edge e = {.to = nodes[i].frame, .value = g->value[i]};
		uint32_t up;
		int err;

		if (!g->keep[e.to])
			continue;
		up = kept_parent(g, i, &e.residual);
		if (!up)
			continue;
		e.from = nodes[up].frame;
		if (edge_above(g, up, e.from, e.to))
			continue;
		err = array_reserve(g->edges, g->edges_cap, g->nedges + 1);
		if (err)
			return err;
		g->edges[g->nedges++] = e;
	}
	return 0;
}

static int by_ends(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return (x->to > y->to) - (x->to < y->to);
}

static void merge_edges(struct call_graph *g)
{
	size_t n = 0;

	if (g->nedges)
		qsort(g->edges, g->nedges, sizeof(*g->edges), by_ends);
	for (size_t i = 0; i < g->nedges; i++) {
		if (n && !by_ends(&g->edges[n - 1], &g->edges[i])) {
			g->edges[n - 1].value += g->edges[i].value;
			g->edges[n - 1].residual &= g->edges[i].residual;
		} else {
			g->edges[n++] = g->edges[i];
		}
	}
	g->nedges = n;
}

static const char *value_text(const struct call_graph *g, double v, char buf[UNITS_LEN])
{
	if (g->bytes)
		return units__size(buf, UNITS_LEN, (int64_t)llround(v));
	snprintf(buf, UNITS_LEN, "%.0f", v);
	return buf;
}

/* Grey to red with the share of the total, to green where it shrank; as pprof's colours go. */
static void shade(double share, double strength, char buf[8])
{
	double a = pow(fmin(fabs(share), 1), 0.6) * strength;
	int high = 237, low = (int)(237 - a * 190);

	snprintf(buf, 8, "#%02x%02x%02x", share >= 0 ? high : low, share >= 0 ? low : high - 20,
		 low);
}

static void write_node(FILE *f, const struct call_graph *g, uint32_t i)
{
	const struct flametree_frame *fr = &g->t->frames[i];
	double total = fabs(g->total), share = g->cum[i] / total;
	char address[160], flat[UNITS_LEN], cum[UNITS_LEN], fill[8], line[8];
	const char *name = flametree__name(g->t, fr, address, sizeof(address));
	cleanup_free char *label = NULL;
	int n;

	value_text(g, g->flat[i], flat);
	value_text(g, g->cum[i], cum);
	if (g->flat[i] == g->cum[i])
		n = asprintf(&label, "%.400s\n%s (%.2f%%)", name, flat, 100 * g->flat[i] / total);
	else if (g->flat[i] != 0)
		n = asprintf(&label, "%.400s\n%s (%.2f%%)\nof %s (%.2f%%)", name, flat,
			     100 * g->flat[i] / total, cum, 100 * share);
	else
		n = asprintf(&label, "%.400s\n0 of %s (%.2f%%)", name, cum, 100 * share);
	if (n < 0) {
		label = NULL;
		return;
	}
	shade(share, 0.25, fill);
	shade(share, 1, line);
	fprintf(f, "N%u [fontsize=%.0f,color=\"%s\",fillcolor=\"%s\",label=", i,
		8 + ceil(16 * sqrt(fmin(fabs(g->flat[i]) / total, 1))), line, fill);
	emit__dot(f, label);
	fputs(",tooltip=", f);
	emit__dot(f, profile__text(g->t->p, fr->module));
	fputs("];\n", f);
}

static void write_edge(FILE *f, const struct call_graph *g, const struct edge *e)
{
	double share = e->value / fabs(g->total);
	char value[UNITS_LEN], line[8];

	shade(share, 1, line);
	fprintf(f, "N%u -> N%u [label=\"%s\",penwidth=%.1f,color=\"%s\"%s,weight=%d];\n", e->from,
		e->to, value_text(g, e->value, value), 1 + 5 * fmin(fabs(share), 1), line,
		e->residual ? ",style=dashed" : "", 1 + (int)(fmin(fabs(share), 1) * 100));
}

static void write_graph(FILE *f, const struct call_graph *g, int type, double edge_fraction)
{
	const struct profile *p = g->t->p;
	char value[UNITS_LEN], head[512];
	size_t shown = 0;

	for (size_t i = 0; i < g->t->nframes; i++)
		shown += g->keep[i];
	snprintf(head, sizeof(head), "%.200s\ntype: %.100s\n%s total\nshowing %zu of %zu functions",
		 profile__text(p, p->comm), profile__text(p, p->sample_type[type].type),
		 value_text(g, g->total, value), shown, g->t->nframes);
	fputs("digraph memwatch {\ngraph [bgcolor=\"#ffffff\",fontname=\"DejaVu Sans\",pad=0.3];\n"
	      "node [shape=box,style=\"filled\",fontname=\"DejaVu Sans\",fontcolor=\"#14171a\"];\n"
	      "edge [fontname=\"DejaVu Sans\",fontsize=10,fontcolor=\"#3a424a\"];\n"
	      "L "
	      "[shape=box,style=filled,fontsize=14,color=\"#d8dce1\",fillcolor=\"#f4f5f7\",label=",
	      f);
	emit__dot(f, head);
	fputs("];\n", f);
	for (uint32_t i = 0; i < g->t->nframes; i++)
		if (g->keep[i])
			write_node(f, g, i);
	for (size_t i = 0; i < g->nedges; i++)
		if (fabs(g->edges[i].value) > 0 &&
		    fabs(g->edges[i].value) >= edge_fraction * fabs(g->total))
			write_edge(f, g, &g->edges[i]);
	fputs("}\n", f);
}

int callgraph__write_dot(FILE *f, const struct profile *p, int type, double node_fraction,
			 double edge_fraction)
{
	struct call_graph g = {0};
	struct flametree *t = NULL;
	double *weight = NULL;
	int err;

	if (type < 0 || (size_t)type >= p->nvalues)
		return -EINVAL;
	err = flametree__new(p, &t);
	if (err)
		return err;
	g.t = t;
	g.bytes = !strcmp(profile__text(p, p->sample_type[type].unit), "bytes");
	g.value = malloc(t->nnodes * sizeof(*g.value));
	weight = malloc(t->nnodes * sizeof(*weight));
	g.flat = calloc(t->nframes + 1, sizeof(*g.flat));
	g.cum = calloc(t->nframes + 1, sizeof(*g.cum));
	g.keep = calloc(t->nframes + 1, sizeof(*g.keep));
	err = g.value && weight && g.flat && g.cum && g.keep ? 0 : -ENOMEM;
	if (!err) {
		flametree__sum(t, type, g.value, weight);
		/* of a difference that cancels out, shares of the change make sense; of nothing,
		 * none */
		g.total = g.value[0] != 0 ? g.value[0] : fmax(weight[0], 1);
		sum_frames(&g, type);
		err = choose_frames(&g, node_fraction);
	}
	if (!err)
		err = collect_edges(&g);
	if (!err) {
		merge_edges(&g);
		write_graph(f, &g, type, edge_fraction);
	}
	free(g.value);
	free(weight);
	free(g.flat);
	free(g.cum);
	free(g.keep);
	free(g.edges);
	flametree__free(t);
	return err ? err : fflush(f) || ferror(f) ? -EIO : 0;
}
