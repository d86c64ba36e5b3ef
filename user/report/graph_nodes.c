/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph_nodes.c - a node for every function (line, file, address), with its sums. */
#include "core/util.h"
#include "report/graph_priv.h"
#include "report/keytab.h"

void graph_nodes__info(const struct profile *p, const struct graph_options *o,
		       const struct profile_location *l, const struct profile_line *line,
		       const uint32_t *file, struct graph_node *n)
{
	enum graph_granularity gr = o->granularity;
	uint32_t object = l->mapping < p->nmappings ? p->mappings[l->mapping].file : 0;

	*n = (struct graph_node){.parent = PROFILE_NONE};
	if (gr == GRAPH_ADDRESSES)
		n->address = l->address;
	if (!line || line->function >= p->nfunctions) {
		n->object = object;
		return;
	}
	if (gr != GRAPH_FILES)
		n->name = p->functions[line->function].name;
	if (gr != GRAPH_FUNCTIONS)
		n->file = file[line->function];
	if (gr == GRAPH_LINES || gr == GRAPH_ADDRESSES)
		n->line = line->line;
	if (o->object_names || !n->name) {
		n->object = object;
		n->start_line = p->functions[line->function].start_line;
	}
}

int graph_nodes__add(struct graph *g, struct keytab *keys, uint32_t caller,
		     const struct graph_node *n, uint32_t *ret)
{
	uint32_t key[] = {n->name,
			  n->file,
			  n->object,
			  n->address,
			  n->address >> 32,
			  n->start_line,
			  (uint64_t)n->start_line >> 32,
			  n->line,
			  (uint64_t)n->line >> 32,
			  caller};
	bool fresh;
	int err = keytab__add(keys, key, ARRAY_SIZE(key), ret, &fresh);

	if (!err && fresh)
		err = array_reserve(g->nodes, g->nodes_cap, g->nnodes + 1);
	if (!err && fresh)
		g->nodes[g->nnodes++] = *n;
	return err;
}

static int number_nodes(struct graph *g, const struct graph_options *o)
{
	struct profile *p = g->p;
	cleanup_free uint32_t *file = malloc((p->nfunctions + 1) * sizeof(*file));
	struct keytab keys = {0};
	size_t total = 0, k = 0;
	int err = file ? graph_label__clean_files(p, o, file) : -ENOMEM;

	for (size_t i = 0; i < p->nlocations; i++)
		total += max_of(p->locations[i].nlines, 1u);
	g->location0 = malloc((p->nlocations + 1) * sizeof(*g->location0));
	g->line_node = malloc((total + 1) * sizeof(*g->line_node));
	if (!g->location0 || !g->line_node)
		err = -ENOMEM;
	for (size_t i = 0; i < p->nlocations && !err; i++) {
		const struct profile_location *l = &p->locations[i];
		size_t n = max_of(l->nlines, 1u);

		g->location0[i] = k;
		for (size_t j = 0; j < n && !err; j++) {
			struct graph_node node;

			graph_nodes__info(p, o, l, l->nlines ? &p->lines[l->line0 + j] : NULL, file,
					  &node);
			err = graph_nodes__add(g, &keys, PROFILE_NONE, &node, &g->line_node[k]);
			if (!err && j + 1 < n)
				g->nodes[g->line_node[k]].inlinable = true;
			k++;
		}
	}
	if (!err)
		g->location0[p->nlocations] = k;
	keytab__free(&keys);
	return err;
}

bool graph_nodes__weigh(const struct graph *g, const struct graph_options *o,
			const struct profile_sample *s, int64_t *ret_v, int64_t *ret_div)
{
	*ret_v = s->value[o->type];
	*ret_div = o->mean ? s->value[0] : 0;
	return *ret_v || *ret_div;
}

static int sum_values(struct graph *g, const struct graph_options *o)
{
	const struct profile *p = g->p;
	cleanup_free uint32_t *seen = calloc(g->nnodes + 1, sizeof(*seen));
	int64_t v, div;

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		struct graph_node *leaf;

		if (!graph_nodes__weigh(g, o, s, &v, &div) || !s->nstack)
			continue;
		for (size_t j = s->nstack; j-- > 0;) {
			uint32_t loc = p->stack[s->stack0 + j];

			for (uint32_t k = g->location0[loc]; k < g->location0[loc + 1]; k++) {
				uint32_t n = g->line_node[k];

				if (seen[n] == i + 1)
					continue;
				seen[n] = i + 1;
				g->nodes[n].cum = graph__sum(g->nodes[n].cum, v);
				g->nodes[n].cum_div = graph__sum(g->nodes[n].cum_div, div);
			}
		}
		leaf = &g->nodes[g->line_node[g->location0[p->stack[s->stack0]]]];
		leaf->flat = graph__sum(leaf->flat, v);
		leaf->flat_div = graph__sum(leaf->flat_div, div);
	}
	return 0;
}

int graph_nodes__make(struct graph *g, const struct graph_options *o)
{
	int err = number_nodes(g, o);

	return err ? err : sum_values(g, o);
}
