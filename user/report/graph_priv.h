/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph_priv.h - shared by the files of graph.c alone. */
#ifndef REPORT_GRAPH_PRIV_H
#define REPORT_GRAPH_PRIV_H

#include "report/graph.h"
#include "report/keytab.h"

static inline int64_t abs64(int64_t v)
{
	return v < 0 ? (int64_t) - (uint64_t)v : v;
}

/* graph_nodes.c: nodes of all locations with their sums, or the tree of all paths with its edges.
 */
int graph_nodes__make(struct graph *g, const struct graph_options *o);
int graph_tree__make(struct graph *g, const struct graph_options *o);
/* What a line of a location (NULL: it has none) is called. */
void graph_nodes__info(const struct profile *p, const struct graph_options *o,
		       const struct profile_location *l, const struct profile_line *line,
		       const uint32_t *file, struct graph_node *n);
/* The node, added if there is none like it below this caller (PROFILE_NONE: below anyone). */
int graph_nodes__add(struct graph *g, struct keytab *keys, uint32_t caller,
		     const struct graph_node *n, uint32_t *ret);
/* A sample's value and, for means, its divisor. false: it counts for nothing. */
bool graph_nodes__weigh(const struct graph *g, const struct graph_options *o,
			const struct profile_sample *s, int64_t *ret_v, int64_t *ret_div);

/* graph_tree.c: edges of nodes that are not listed any more go from their nearest listed ancestor
 * instead. removed: by node, those that were listed before. */
void graph_tree__trim(struct graph *g, const bool *removed);

/* graph_visual.c: what a picture shows besides. */
int graph_visual__tags(struct graph *g, const struct graph_options *o);
/* The parts of it, for who goes through the samples itself: "key:value" of all text labels, sorted,
 * a line each (0: there are none); one sample's labels given to one node; at the end, tag0. */
int graph_visual__join_labels(struct profile *p, const struct profile_sample *s, uint32_t *ret);
int graph_visual__tag(struct graph *g, const struct graph_options *o, struct keytab *keys,
		      const struct profile_sample *s, uint32_t labels, uint32_t node, int64_t v,
		      int64_t div, bool flat);
int graph_visual__index_tags(struct graph *g);
void graph_visual__trim_tags(struct graph *g, int64_t cutoff);
/* Sorts order[] by how much a node tells. */
int graph_visual__sort(struct graph *g);
/* How many of the first nodes fit if their tags are shown too. */
size_t graph_visual__select(const struct graph *g, size_t max_nodes);
int graph_visual__thin(struct graph *g);

/* graph_label.c */
int graph_label__clean_files(struct profile *p, const struct graph_options *o, uint32_t *file);
void graph_label__sort_nodes(struct graph *g, bool cum);
int graph_label__compare_info(struct graph *g, const struct graph_node *a,
			      const struct graph_node *b);

#endif
