/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * graph.h - the call graph of one sample type of a profile: a node per function (or line, file,
 * address), edges from caller to callee, flat and cum as in pprof. A function that appears twice
 * in a stack counts once.
 *
 * What pprof recomputes from the samples after every step of trimming, this computes once where
 * the result cannot change: flat and cum of a kept node do not depend on which others are kept,
 * only edges do.
 */
#ifndef REPORT_GRAPH_H
#define REPORT_GRAPH_H

#include "model/profile.h"

#include <stdio.h>

enum graph_granularity {
	GRAPH_FUNCTIONS,
	GRAPH_FILEFUNCTIONS,
	GRAPH_FILES,
	GRAPH_LINES,
	GRAPH_ADDRESSES,
};

struct graph_options {
	int type;  /* sample type */
	bool mean; /* values divided by those of the first sample type, a count */
	enum graph_granularity granularity;
	bool object_names;	 /* keep functions of different binaries apart */
	const char *trim_path;	 /* ':'-separated prefixes to cut from file names; NULL */
	bool whole_paths;	 /* cut nothing from file names */
	const char *source_path; /* where sources are searched, for guessing prefixes; NULL */
	bool cum;		 /* sort by cum */
	size_t max_nodes;	 /* 0: no limit */
	double node_fraction, edge_fraction;
	bool edges;	    /* all edges are wanted; else only those that tell inlined functions */
	bool drop_negative; /* leave out nodes that are negative */
	bool call_tree;	    /* a node per path that leads to a function; implies edges */
	bool visual;	    /* for a picture: nodes that tell more first, labels beside them */
	const char *tag_unit;  /* visual: of the numeric label "bytes", as it is shown ... */
	const char *tag_units; /* ... and as it is stored */
};

struct graph_node {
	uint32_t name, file, object; /* strings of the profile; 0 where the granularity drops it */
	uint64_t address;
	int64_t start_line, line;
	int64_t flat, cum, flat_div, cum_div; /* the divisors of means, else 0 */
	uint32_t parent; /* edge to the only caller, of a call tree; PROFILE_NONE */
	bool listed;	 /* in order[] */
	bool inlinable;	 /* appears inlined somewhere */
	bool calls;	 /* has edges to others that are shown */
	char *label;	 /* as printed; NULL until wanted */
};

struct graph_edge {
	uint32_t src, dst;
	int64_t weight, weight_div;
	bool residual; /* over nodes that are not shown */
	bool inlined;  /* never seen as a call */
	bool dropped;  /* not to be shown */
};

/* What the labels of samples say about a node's value, for pictures. */
struct graph_tag {
	uint32_t node;
	uint32_t labels;     /* string: "key:value" of all text labels, a line each; 0: none */
	uint32_t name, unit; /* strings: of the number; name 0: the tag is of the labels alone */
	int64_t value;	     /* the number */
	int64_t flat, cum, flat_div, cum_div;
	bool dropped;
};

struct graph {
	struct profile *p; /* borrowed; gets cleaned file names as additional strings */
	struct graph_node *nodes;
	size_t nnodes, nodes_cap;
	uint32_t *order; /* the nodes shown, sorted */
	size_t norder;
	size_t orig_count, dropped_nodes; /* before the limit; below the fraction */
	size_t dropped_edges;
	struct graph_tag *tags; /* by node, of a picture */
	size_t ntags, tags_cap;
	size_t *tag0; /* node i has tags[tag0[i]..tag0[i+1]] */
	struct graph_edge *edges;
	size_t nedges, edges_cap;
	uint32_t *location0; /* location to its first node in line_node[] */
	uint32_t *line_node;
};

/* Builds and trims. 0, -ENOMEM, -E2BIG. graph__free accepts a zeroed graph. */
int graph__build(struct graph *g, struct profile *p, const struct graph_options *o);
void graph__free(struct graph *g);

/* pprof's printable name of a node; borrowed. "" without memory. */
const char *graph__label(struct graph *g, uint32_t node);

/* Values as they are shown: divided where they are means. */
int64_t graph__quotient(int64_t v, int64_t divisor);
/* As Go adds: wrapping. */
static inline int64_t graph__sum(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t graph__flat(const struct graph_node *n)
{
	return graph__quotient(n->flat, n->flat_div);
}
static inline int64_t graph__cum(const struct graph_node *n)
{
	return graph__quotient(n->cum, n->cum_div);
}

/* Edges of every node that are not dropped: those into (out of) node i are
 * list[at[i]..at[i+1]]. */
struct graph_adjacency {
	uint32_t *list, *at;
};
int graph__adjacency(const struct graph *g, bool in, struct graph_adjacency *ret);
void graph__adjacency_free(struct graph_adjacency *a);

/* Sorts edge indices by weight, then by the names of both ends. */
void graph__sort_edges(struct graph *g, uint32_t *edges, size_t n);

/* Removes configured and well-known prefixes of a source path, as pprof does; a pointer into path.
 */
const char *graph__trim_path(const char *path, const char *trim, const char *source_path);
/* Lexical path cleaning as in Go's filepath.Clean. out has room for strlen(path) + 2. */
void graph__clean_path(const char *path, char *out);

#endif
