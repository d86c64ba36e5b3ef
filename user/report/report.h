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

struct report_options {
	int type;	  /* sample type */
	const char *unit; /* "minimum" (default), "auto", "MB", … */
	enum graph_granularity granularity;
	bool cum;
	int top; /* nodes shown; 0: all; -1: the report's own default (80 for trees, all for top) */
	double node_fraction, edge_fraction; /* negative: the defaults .005 and .001 */
	const char *source_path, *trim_path;
	struct rx *symbol; /* of peek and list */
	struct filter filter;
};

struct report {
	struct profile *p;
	struct report_options o;
	const char *out_unit;
	int64_t total;
};

/* Filters p in place. 0 or a negative errno with the reason in why. */
int report__begin(struct report *r, struct profile *p, const struct report_options *o,
		  unsigned *ret_unmatched, char *why, size_t why_len);

/* All return 0, -ENOENT (the expression matched no function), -ENOMEM, or the stream's errno. */
int report__top(struct report *r, FILE *f);
int report__tree(struct report *r, FILE *f); /* with o.symbol: peek, never trimmed */
int report__traces(struct report *r, FILE *f);
int report__raw(struct report *r, FILE *f);
int report__list(struct report *r, FILE *f); /* annotated source of functions matching o.symbol */

/* The section that pprof has not: totals and what was not seen. Prints nothing if nothing is known.
 */
void report__books(const struct profile *p, FILE *f);

/* shared between report.c, traces.c and list.c */
void report__value(const struct report *r, int64_t v, char *buf, size_t len);
void report__header(const struct report *r, FILE *f);
int report__graph(struct report *r, struct graph *g, const struct graph_options *base);

#endif
