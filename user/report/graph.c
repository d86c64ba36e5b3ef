/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph.c - edges, and what of the graph is shown; see graph.h. */
#include "report/graph.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "report/graph_priv.h"

#include <string.h>

int64_t graph__quotient(int64_t v, int64_t divisor)
{
	if (!divisor)
		return v;
	return divisor == -1 ? (int64_t) - (uint64_t)v : v / divisor;
}

/* Which edge a pair of nodes is. */
struct pairs {
	struct hash_index index;
	uint32_t *last; /* the sample that saw the edge, by edge */
	size_t last_cap;
	int err; /* of what was added; all that follows is left */
};

struct seen_call { /* one step of a stack */
	uint32_t src, dst, sample;
	int64_t v, div;
	bool residual, inlined;
};

static void new_edge(struct graph *g, struct pairs *t, uint64_t hash, const struct seen_call *c)
{
	if (!t->err)
		t->err = hash_index__reserve(&t->index);
	if (!t->err)
		t->err = array_reserve(g->edges, g->edges_cap, g->nedges + 1);
	if (!t->err)
		t->err = array_reserve(t->last, t->last_cap, g->nedges + 1);
	if (t->err)
		return;
	hash_index__add(&t->index, hash);
	t->last[g->nedges] = c->sample;
	g->edges[g->nedges++] = (struct graph_edge){.src = c->src,
						    .dst = c->dst,
						    .weight = c->v,
						    .weight_div = c->div,
						    .residual = c->residual,
						    .inlined = c->inlined};
}

static void add_edge(struct graph *g, struct pairs *t, const struct seen_call *c)
{
	uint64_t hash = keyhash__word((uint64_t)c->src << 32 | c->dst);
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&t->index, hash, &at, &i)) {
		struct graph_edge *e = &g->edges[i];

		if (e->src != c->src || e->dst != c->dst)
			continue;
		if (t->last[i] == c->sample)
			return;
		t->last[i] = c->sample;
		e->weight = graph__sum(e->weight, c->v);
		e->weight_div = graph__sum(e->weight_div, c->div);
		e->residual |= c->residual;
		e->inlined &= c->inlined;
		return;
	}
	new_edge(g, t, hash, c);
}

/* Edges between kept nodes (all nodes if !only_listed) of one stack, from the root. */
static void stack_edges(struct graph *g, struct pairs *t, struct seen_call *c, bool only_listed,
			bool all)
{
	const struct profile_sample *s = &g->p->samples[c->sample];

	c->src = PROFILE_NONE;
	c->residual = false;
	for (size_t j = s->nstack; j-- > 0;) {
		uint32_t loc = g->p->stack[s->stack0 + j];
		uint32_t first = g->location0[loc], end = g->location0[loc + 1];

		for (uint32_t k = end; k-- > first;) {
			c->dst = g->line_node[k];
			if (only_listed && !g->nodes[c->dst].listed) {
				c->residual = true;
				continue;
			}
			c->inlined = k + 1 != end;
			if (c->src != PROFILE_NONE && c->src != c->dst &&
			    (all || g->nodes[c->dst].inlinable))
				add_edge(g, t, c);
			c->src = c->dst;
			c->residual = false;
		}
	}
}

static int make_edges(struct graph *g, const struct graph_options *o, bool only_listed)
{
	struct pairs t = {0};
	bool wanted = o->edges;

	g->nedges = 0;
	for (size_t i = 0; i < g->nnodes && !wanted; i++)
		wanted = g->nodes[i].inlinable;
	for (size_t i = 0; i < g->p->nsamples && !t.err && wanted; i++) {
		struct seen_call c = {.sample = i};

		if (graph_nodes__weigh(g, o, &g->p->samples[i], &c.v, &c.div))
			stack_edges(g, &t, &c, only_listed, o->edges);
	}
	hash_index__fini(&t.index);
	free(t.last);
	return t.err;
}

/* Removes light edges into nodes that are shown, and those dropped before. Their number. */
static size_t trim_edges(struct graph *g, int64_t cutoff)
{
	size_t dropped = 0;

	for (size_t i = 0; i < g->nedges; i++) {
		struct graph_edge *e = &g->edges[i];

		if (!e->dropped && g->nodes[e->dst].listed && abs64(e->weight) < cutoff) {
			e->dropped = true;
			dropped++;
		}
	}
	return dropped;
}

/* Edges that go are gone from the list; not in a tree, whose nodes know their edge's number. */
static void compact_edges(struct graph *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->nedges; i++) {
		if (g->edges[i].dropped)
			continue;
		g->nodes[g->edges[i].src].calls = true;
		g->edges[n++] = g->edges[i];
	}
	g->nedges = n;
}

static int64_t fraction(int64_t total, double f)
{
	double v = (double)total * f;

	return v >= 0x1p63 || v <= -0x1p63 ? INT64_MAX : abs64((int64_t)v);
}

static bool is_negative(const struct graph_node *n)
{
	return n->flat < 0 || (!n->flat && n->cum < 0);
}

/* All nodes with values; the sum of their flat values. */
static int64_t list_nodes(struct graph *g, const struct graph_options *o)
{
	int64_t total = 0;

	for (size_t i = 0; i < g->nnodes; i++) {
		struct graph_node *n = &g->nodes[i];

		n->listed = (n->cum || n->flat) && !(o->drop_negative && is_negative(n));
		if (!n->listed)
			continue;
		g->order[g->norder++] = i;
		total = graph__sum(total, n->flat);
	}
	return total;
}

/* Keeps the first `keep` of order; edges go from and to what is kept. */
static int keep_first(struct graph *g, const struct graph_options *o, size_t keep)
{
	cleanup_free bool *removed = calloc(g->nnodes + 1, sizeof(*removed));

	if (!removed)
		return -ENOMEM;
	for (size_t i = keep; i < g->norder; i++) {
		g->nodes[g->order[i]].listed = false;
		removed[g->order[i]] = true;
	}
	g->norder = keep;
	if (o->call_tree)
		graph_tree__trim(g, removed);
	return 0;
}

/* By fraction of the total: those with enough in front. */
static size_t partition(struct graph *g, int64_t cutoff)
{
	cleanup_free uint32_t *low = malloc((g->norder + 1) * sizeof(*low));
	size_t n = 0, k = 0;

	for (size_t i = 0; low && i < g->norder; i++) {
		if (abs64(g->nodes[g->order[i]].cum) >= cutoff)
			g->order[n++] = g->order[i];
		else
			low[k++] = g->order[i];
	}
	if (low && k)
		memcpy(g->order + n, low, k * sizeof(*low));
	return low ? n : SIZE_MAX;
}

static int sort(struct graph *g, const struct graph_options *o, bool rebuilt)
{
	if (!o->visual) {
		graph_label__sort_nodes(g, o->cum);
		return 0;
	}
	if (!o->call_tree) {
		int err = make_edges(g, o, rebuilt);

		if (err)
			return err;
	}
	return graph_visual__sort(g);
}

/* The first max_nodes in order. */
static int limit(struct graph *g, const struct graph_options *o, int64_t cutoff,
		 int64_t edge_cutoff, bool *rebuilt)
{
	size_t n = o->max_nodes;
	int err;

	if (!n)
		return 0;
	if (o->visual) {
		graph_visual__trim_tags(g, cutoff);
		trim_edges(g, edge_cutoff); /* the call tree remembers */
		n = graph_visual__select(g, n);
	}
	if (n >= g->norder)
		return 0;
	*rebuilt = true;
	err = keep_first(g, o, n);
	return err || !o->visual ? err : sort(g, o, true);
}

/* pprof's trimming. */
static int trim(struct graph *g, const struct graph_options *o)
{
	int64_t cutoff, edge_cutoff, total;
	bool rebuilt;
	size_t n;
	int err;

	g->order = malloc((g->nnodes + 1) * sizeof(*g->order));
	if (!g->order)
		return -ENOMEM;
	total = list_nodes(g, o);
	cutoff = fraction(total, o->node_fraction);
	edge_cutoff = fraction(total, o->edge_fraction);
	n = partition(g, cutoff);
	if (n == SIZE_MAX)
		return -ENOMEM;
	g->dropped_nodes = g->norder - n;
	rebuilt = g->dropped_nodes;
	err = keep_first(g, o, n);
	g->orig_count = g->norder;
	err = err ? err : sort(g, o, rebuilt);
	err = err ? err : limit(g, o, cutoff, edge_cutoff, &rebuilt);
	if (!err && !o->visual && !o->call_tree)
		err = make_edges(g, o, rebuilt);
	if (err)
		return err;
	graph_visual__trim_tags(g, cutoff);
	g->dropped_edges = trim_edges(g, edge_cutoff);
	if (o->visual)
		err = graph_visual__thin(g);
	compact_edges(g);
	return err;
}

int graph__build(struct graph *g, struct profile *p, const struct graph_options *o)
{
	int err;

	*g = (struct graph){.p = p};
	err = o->call_tree ? graph_tree__make(g, o) : graph_nodes__make(g, o);
	if (!err && o->visual)
		err = o->call_tree ? graph_visual__index_tags(g) : graph_visual__tags(g, o);
	err = err ? err : trim(g, o);
	if (err)
		graph__free(g);
	return err;
}

int graph__adjacency(const struct graph *g, bool in, struct graph_adjacency *a)
{
	a->list = malloc((g->nedges + 1) * sizeof(*a->list));
	a->at = calloc(g->nnodes + 2, sizeof(*a->at));
	if (!a->list || !a->at)
		return -ENOMEM;
	for (size_t i = 0; i < g->nedges; i++)
		a->at[(in ? g->edges[i].dst : g->edges[i].src) + 2] += !g->edges[i].dropped;
	for (size_t i = 2; i < g->nnodes + 2; i++)
		a->at[i] += a->at[i - 1];
	for (size_t i = 0; i < g->nedges; i++) {
		if (!g->edges[i].dropped)
			a->list[a->at[(in ? g->edges[i].dst : g->edges[i].src) + 1]++] = i;
	}
	return 0;
}

void graph__adjacency_free(struct graph_adjacency *a)
{
	free(a->list);
	free(a->at);
}

void graph__free(struct graph *g)
{
	for (size_t i = 0; i < g->nnodes; i++)
		free(g->nodes[i].label);
	free(g->nodes);
	free(g->order);
	free(g->edges);
	free(g->location0);
	free(g->line_node);
	free(g->tags);
	free(g->tag0);
	*g = (struct graph){0};
}
