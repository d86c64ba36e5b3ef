/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.h - text reports of a profile, line by line as `go tool pprof` prints them. Names are
 * printed harmlessly: where one holds control characters the text differs from pprof's, which
 * passes them on to the terminal.
 *
 * report__begin takes the total before filters apply, then filters; the report__* printers follow.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "model/profile.h"
#include "report/filter.h"
#include "report/graph.h"

#include <stdio.h>

struct textbuf;

/* The reports, by pprof's names. */
enum report_kind {
	REPORT_TOP,
	REPORT_TREE,
	REPORT_PEEK, /* a tree of what matches o.symbol, never trimmed */
	REPORT_LIST, /* annotated source of functions that match o.symbol */
	REPORT_TRACES,
	REPORT_RAW,
	REPORT_TAGS,
	REPORT_COMMENTS,
	REPORT_DOT,
	REPORT_CALLGRIND,
	REPORT_PROTO,
	REPORT_TOPPROTO,
	REPORT_DISASM,	/* annotated instructions of functions that match o.symbol */
	REPORT_WEBLIST, /* source and instructions as a page */
	REPORT_KINDS
};

struct report_options {
	int type;	  /* sample type */
	bool mean;	  /* divided by the first sample type, a count */
	double divide_by; /* all values are shown divided by it; 0: by 1 */
	const char *unit; /* "minimum" (default), "auto", "MB", … */
	enum graph_granularity granularity;
	bool no_inlines;
	bool cum;
	bool call_tree;	    /* of REPORT_DOT and REPORT_CALLGRIND */
	bool drop_negative; /* no functions with negative values */
	bool relative;	    /* percentages of what the filters leave */
	bool compact;	    /* no lines about the file */
	bool untrimmed;	    /* neither top nor fractions apply */
	bool intel;	    /* instructions in Intel's syntax */
	int top; /* nodes shown; 0: all; -1: the report's own default (80 for trees, all for top) */
	double node_fraction, edge_fraction; /* negative: the defaults .005 and .001 */
	const char *source_path, *trim_path;
	const char *tag_root, *tag_leaf; /* label keys that become frames */
	struct rx *symbol;		 /* of peek, list, disasm and weblist */
	struct filter filter;
};

struct report {
	struct profile *p;
	struct report_options o;
	const char *out_unit;
	int64_t total;
	uint32_t *label_units; /* of filter__label_units, before filters */
	unsigned unmatched;    /* FILTER_* bits of expressions that matched nothing */
	bool no_root, no_leaf; /* tag_root or tag_leaf matched nothing */
};

/* Filters p in place for a report of this kind. 0 or a negative errno with the reason in why.
 * report__end in any case. */
int report__begin(struct report *r, struct profile *p, const struct report_options *o,
		  enum report_kind kind, char *why, size_t why_len);
void report__end(struct report *r);

/* 0, -ENOENT (the expression matched no function), -ENOMEM, or the stream's errno. Where nothing
 * matches nothing is written. */
int report__print(struct report *r, enum report_kind kind, FILE *f);

int report__top(struct report *r, FILE *f);
int report__tree(struct report *r, FILE *f); /* with o.symbol: peek, never trimmed */
int report__traces(struct report *r, FILE *f);
int report__raw(struct report *r, FILE *f);
int report__list(struct report *r, FILE *f); /* annotated source of functions matching o.symbol */
int report__tags(struct report *r, FILE *f);
int report__comments(struct report *r, FILE *f);
int report__dot(struct report *r, FILE *f); /* the call graph for graphviz */
int report__callgrind(struct report *r, FILE *f);
int report__disasm(struct report *r, FILE *f);
int report__weblist(struct report *r, FILE *f);
int report__top_proto(struct report *r, FILE *f);

/* The section that pprof has not: totals and what was not seen. Prints nothing if nothing is known.
 */
void report__books(const struct profile *p, FILE *f);

/* --- shared between the files of the reports --- */

/* A value in the report's unit; that of a sample, of a node. */
void report__value(const struct report *r, int64_t v, char *buf, size_t len);
void report__value_or_dot(const struct report *r, int64_t v, char *buf, size_t len); /* 0: "." */
int64_t report__sample_value(const struct report *r, const struct profile_sample *s);
/* A path's last part. */
const char *report__base(const char *path);
/* A line of source, by emit__plain or emit__xml; tabs, which are part of it, stay. */
void report__source(FILE *f, const char *text, void (*put)(FILE *f, const char *text));
/* "File:", "Type:" and so on; pprof's own text. */
void report__header(const struct report *r, FILE *f);
/* The same, the filters, and how much the graph shows; edges: how many calls it leaves out, too. */
void report__heading(const struct report *r, FILE *f, const struct graph *g,
		     const struct graph_options *o, bool picture);
/* The graph that the options ask for; default_nodes: the limit where they name none. */
struct graph_options report__trimming(const struct report *r, int default_nodes);
int report__graph(struct report *r, struct graph *g, const struct graph_options *base);
/* "minimum" becomes the unit in which the smallest node shown is at least 0.01 (or, whole, 1). */
void report__select_unit(struct report *r, const struct graph *g, bool whole);
/* Towards zero, within what an int64_t holds. */
int64_t report__whole(double v);

#define REPORT_TREE_NODES 80

/* Warns of expressions that matched nothing, by the name of the option or (as_options false) of the
 * variable. */
void report__warn_unmatched(const struct report *r, bool as_options);

#endif
