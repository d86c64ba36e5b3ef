/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.c - top, tree and peek; see report.h. */
#include "report/report.h"

#include "core/util.h"
#include "core/emit.h"
#include "core/log.h"
#include "core/textbuf.h"
#include "report/measure.h"
#include "report/spelling.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

/* flat flat% sum% cum cum% */
static void columns(const struct report *r, FILE *f, int64_t flat, int64_t sum, int64_t cum)
{
	char text[2][MEASURE_LEN], percent[3][MEASURE_LEN];

	report__value(r, flat, text[0], MEASURE_LEN);
	report__value(r, cum, text[1], MEASURE_LEN);
	fprintf(f, "%10s %s %s %10s %s", text[0],
		measure__percent(percent[0], MEASURE_LEN, flat, r->total),
		measure__percent(percent[1], MEASURE_LEN, sum, r->total), text[1],
		measure__percent(percent[2], MEASURE_LEN, cum, r->total));
}

enum { CALLED = 1, INLINED = 2 };

int report__top(struct report *r, FILE *f)
{
	struct graph_options o = report__trimming(r, 0);
	cleanup_free uint8_t *how = NULL;
	struct graph g;
	int64_t sum = 0;
	int err = report__graph(r, &g, &o);

	if (err)
		return err;
	how = calloc(g.nnodes + 1, 1);
	if (!how) {
		graph__free(&g);
		return -ENOMEM;
	}
	for (size_t i = 0; i < g.nedges; i++)
		how[g.edges[i].dst] |= g.edges[i].inlined ? INLINED : CALLED;
	report__select_unit(r, &g, false);
	report__heading(r, f, &g, &o, false);
	fprintf(f, "%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
	for (size_t i = 0; i < g.norder; i++) {
		const struct graph_node *n = &g.nodes[g.order[i]];
		uint8_t h = how[g.order[i]];

		sum = (int64_t)((uint64_t)sum + (uint64_t)graph__flat(n));
		columns(r, f, graph__flat(n), sum, graph__cum(n));
		fputs("  ", f);
		emit__plain(f, graph__label(&g, g.order[i]));
		fputs(!(h & INLINED) ? "\n"
		      : h & CALLED   ? " (partial-inline)\n"
				     : " (inline)\n",
		      f);
	}
	graph__free(&g);
	return emit__end(f, err);
}

static void edge_lines(const struct report *r, FILE *f, struct graph *g,
		       const struct graph_adjacency *a, uint32_t node, bool in)
{
	uint32_t *list = a->list + a->at[node];
	size_t n = a->at[node + 1] - a->at[node];

	graph__sort_edges(g, list, n);
	for (size_t i = 0; i < n; i++) {
		const struct graph_edge *e = &g->edges[list[i]];
		char value[MEASURE_LEN], percent[MEASURE_LEN];

		report__value(r, e->weight, value, sizeof(value));
		fprintf(f, "%50s %s |   ", value,
			measure__percent(percent, sizeof(percent), e->weight,
					 graph__cum(&g->nodes[node])));
		emit__plain(f, graph__label(g, in ? e->src : e->dst));
		fputs(e->inlined ? " (inline)\n" : "\n", f);
	}
}

#define TREE_LINE "----------------------------------------------------------+-------------\n"

static int print_tree(struct report *r, FILE *f, struct graph *g)
{
	struct graph_adjacency in = {0}, out = {0};
	size_t matched = 0;
	int64_t sum = 0;
	int err = graph__adjacency(g, true, &in);

	err = err ? err : graph__adjacency(g, false, &out);
	fputs(TREE_LINE, f);
	fputs("      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t \n", f);
	for (size_t i = 0; i < g->norder && !err; i++) {
		uint32_t node = g->order[i];
		const struct graph_node *n = &g->nodes[node];

		if (r->o.symbol && !rx__match(r->o.symbol, graph__label(g, node)))
			continue;
		matched++;
		fputs(TREE_LINE, f);
		edge_lines(r, f, g, &in, node, true);
		sum = (int64_t)((uint64_t)sum + (uint64_t)graph__flat(n));
		columns(r, f, graph__flat(n), sum, graph__cum(n));
		fputs("                | ", f);
		emit__plain(f, graph__label(g, node));
		putc('\n', f);
		edge_lines(r, f, g, &out, node, false);
	}
	if (g->norder)
		fputs(TREE_LINE, f);
	graph__adjacency_free(&in);
	graph__adjacency_free(&out);
	return err ? err : r->o.symbol && !matched ? -ENOENT : 0;
}

int report__tree(struct report *r, FILE *f)
{
	struct graph_options o = report__trimming(r, REPORT_TREE_NODES);
	struct graph g;
	int err;

	if (r->o.symbol) { /* peek shows what it is asked for, however small */
		o.max_nodes = 0;
		o.node_fraction = o.edge_fraction = 0;
	}
	o.edges = true;
	err = report__graph(r, &g, &o);
	if (err)
		return err;
	report__select_unit(r, &g, false);
	report__heading(r, f, &g, &o, false);
	err = print_tree(r, f, &g);
	graph__free(&g);
	return emit__end(f, err);
}

static void total_line(FILE *f, const char *what, double objects, double bytes)
{
	char size[MEASURE_LEN];

	fprintf(f, "%-10s %12s in %.0f blocks\n", what,
		measure__label(size, sizeof(size), report__whole(bytes), "bytes", "auto"), objects);
}

void report__books(const struct profile *p, FILE *f)
{
	const struct profile_totals *t = &p->totals;

	if (t->alloc_objects || t->inuse_objects) {
		fprintf(f, "\nTotals (%s):\n",
			p->sample_bytes > 1 ? "estimated from samples" : "exact");
		total_line(f, "allocated", t->alloc_objects, t->alloc_bytes);
		total_line(f, "freed", t->free_objects, t->free_bytes);
		total_line(f, "in use", t->inuse_objects, t->inuse_bytes);
	}
	for (size_t i = 0; i < p->nlosses; i++) {
		const struct profile_loss *l = &p->losses[i];

		if (i == 0)
			fputs("\nNot seen or not attributed:\n", f);
		fprintf(f, "%12" PRIu64 "  ", l->count);
		emit__plain(f, profile__text(p, l->cause));
		if (l->bytes)
			fprintf(f, " (%" PRIu64 " bytes)", l->bytes);
		putc('\n', f);
	}
}

static void warn_unmatched(const char *name, bool as_option)
{
	log_warn("%s matched nothing", as_option ? spelling__option(name) : name);
}

void report__warn_unmatched(const struct report *r, bool as_options)
{
	static const char *const name[] = {"focus",	"ignore",    "hide",
					   "show",	"show_from", "tagfocus",
					   "tagignore", "tagshow",   "taghide"};

	for (size_t i = 0; i < ARRAY_SIZE(name); i++) {
		if (r->unmatched & 1u << i)
			warn_unmatched(name[i], as_options);
	}
	if (r->no_root)
		warn_unmatched("tagroot", as_options);
	if (r->no_leaf)
		warn_unmatched("tagleaf", as_options);
}
