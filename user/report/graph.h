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
	int type; /* sample type */
	enum graph_granularity granularity;
	bool object_names;	 /* keep functions of different binaries apart */
	const char *trim_path;	 /* ':'-separated prefixes to cut from file names; NULL */
	const char *source_path; /* where sources are searched, for guessing prefixes; NULL */
	bool cum;		 /* sort by cum */
	size_t max_nodes;	 /* 0: no limit */
	double node_fraction, edge_fraction;
	bool edges; /* all edges are wanted; else only those that tell inlined functions */
};

struct graph_node {
	uint32_t name, file, object; /* strings of the profile; 0 where the granularity drops it */
	uint64_t address;
	int64_t start_line, line;
	int64_t flat, cum;
	bool listed;	/* in order[] */
	bool inlinable; /* appears inlined somewhere */
	char *label;	/* as printed; NULL until wanted */
};

struct graph_edge {
	uint32_t src, dst;
	int64_t weight;
	bool residual; /* over nodes that are not shown */
	bool inlined;  /* never seen as a call */
};

struct graph {
	struct profile *p; /* borrowed; gets cleaned file names as additional strings */
	struct graph_node *nodes;
	size_t nnodes, nodes_cap;
	uint32_t *order; /* the nodes shown, sorted */
	size_t norder;
	size_t orig_count, dropped_nodes; /* before the limit; below the fraction */
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

/* Sorts edge indices by weight, then by the names of both ends. */
void graph__sort_edges(struct graph *g, uint32_t *edges, size_t n);

/* Removes configured and well-known prefixes of a source path, as pprof does; a pointer into path.
 */
const char *graph__trim_path(const char *path, const char *trim, const char *source_path);

#endif
