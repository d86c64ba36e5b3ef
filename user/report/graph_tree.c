/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph_tree.c - the call tree: functions that are reached on different paths stay apart. */
#include "core/util.h"
#include "report/graph_priv.h"

/* The node of a line below its caller; the edge that leads to it is its own. */
static int step(struct graph *g, struct keytab *keys, const struct graph_node *info, bool inlined,
		uint32_t *at)
{
	uint32_t caller = *at, n;
	size_t before = g->nnodes;
	int err = graph_nodes__add(g, keys, caller, info, &n);

	if (err)
		return err;
	*at = n;
	if (g->nnodes > before) {
		g->nodes[n].parent = PROFILE_NONE;
		if (caller != PROFILE_NONE) {
			err = array_reserve(g->edges, g->edges_cap, g->nedges + 1);
			if (err)
				return err;
			g->nodes[n].parent = g->nedges;
			g->edges[g->nedges++] =
				(struct graph_edge){.src = caller, .dst = n, .inlined = true};
		}
	}
	if (g->nodes[n].parent != PROFILE_NONE && !inlined)
		g->edges[g->nodes[n].parent].inlined = false;
	return 0;
}

static void count(struct graph *g, uint32_t n, int64_t v, int64_t div)
{
	struct graph_node *node = &g->nodes[n];

	node->cum = graph__sum(node->cum, v);
	node->cum_div = graph__sum(node->cum_div, div);
	if (node->parent != PROFILE_NONE) {
		struct graph_edge *e = &g->edges[node->parent];

		e->weight = graph__sum(e->weight, v);
		e->weight_div = graph__sum(e->weight_div, div);
	}
}

struct tree_keys {
	struct keytab nodes, tags;
	uint32_t *file; /* cleaned names, by function */
};

static int add_path(struct graph *g, const struct graph_options *o, struct tree_keys *t,
		    const struct profile_sample *s, int64_t v, int64_t div)
{
	struct profile *p = g->p;
	uint32_t at = PROFILE_NONE, labels = 0;
	int err = o->visual ? graph_visual__join_labels(p, s, &labels) : 0;

	for (size_t j = s->nstack; j-- > 0;) {
		const struct profile_location *l = &p->locations[p->stack[s->stack0 + j]];
		size_t n = max_of(l->nlines, 1u);

		for (size_t k = n; k-- > 0 && !err;) {
			struct graph_node info;

			graph_nodes__info(p, o, l, l->nlines ? &p->lines[l->line0 + k] : NULL,
					  t->file, &info);
			err = step(g, &t->nodes, &info, k + 1 != n, &at);
			if (!err)
				count(g, at, v, div);
			if (!err && o->visual)
				err = graph_visual__tag(g, o, &t->tags, s, labels, at, v, div,
							false);
		}
	}
	if (!err && at != PROFILE_NONE) {
		g->nodes[at].flat = graph__sum(g->nodes[at].flat, v);
		g->nodes[at].flat_div = graph__sum(g->nodes[at].flat_div, div);
		if (o->visual)
			err = graph_visual__tag(g, o, &t->tags, s, labels, at, v, div, true);
	}
	return err;
}

int graph_tree__make(struct graph *g, const struct graph_options *o)
{
	struct profile *p = g->p;
	struct tree_keys t = {.file = malloc((p->nfunctions + 1) * sizeof(*t.file))};
	int64_t v, div;
	int err = t.file ? graph_label__clean_files(p, o, t.file) : -ENOMEM;

	for (size_t i = 0; i < p->nsamples && !err; i++) {
		if (graph_nodes__weigh(g, o, &p->samples[i], &v, &div))
			err = add_path(g, o, &t, &p->samples[i], v, div);
	}
	keytab__free(&t.nodes);
	keytab__free(&t.tags);
	free(t.file);
	return err;
}

void graph_tree__trim(struct graph *g, const bool *removed)
{
	for (size_t i = 0; i < g->nedges; i++) {
		struct graph_edge *e = &g->edges[i];

		if (removed[e->dst])
			continue;
		while (!e->dropped && removed[e->src]) {
			uint32_t up = g->nodes[e->src].parent;

			if (up == PROFILE_NONE || g->edges[up].dropped) {
				e->dropped = true;
				break;
			}
			e->inlined &= g->edges[up].inlined;
			e->residual = true;
			e->src = g->edges[up].src;
		}
	}
	for (size_t i = 0; i < g->nedges; i++)
		g->edges[i].dropped |= removed[g->edges[i].dst];
}
