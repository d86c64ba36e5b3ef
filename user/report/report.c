/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.c - headers, top, tree and peek; see report.h. */
#include "report/report.h"

#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "report/measure.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define NODE_FRACTION 0.005
#define EDGE_FRACTION 0.001
#define TREE_NODES 80

void report__value(const struct report *r, int64_t v, char *buf, size_t len)
{
	const char *unit = profile__text(r->p, r->p->sample_type[r->o.type].unit);

	measure__label(buf, len, v, unit, r->out_unit);
}

static int finish(FILE *f, int err)
{
	errno = 0;
	if (!err && (fflush(f) || ferror(f)))
		err = errno ? -errno : -EIO;
	return err;
}

static bool is_diff_base(const struct profile *p, const struct profile_sample *s)
{
	for (size_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		if (!strcmp(profile__text(p, l->key), "pprof::base") &&
		    !strcmp(profile__text(p, l->str), "true"))
			return true;
	}
	return false;
}

/* Sum of absolute values; of the base alone where the profile is a comparison with one. */
static int64_t total_of(const struct profile *p, int type)
{
	uint64_t total = 0, base = 0;

	for (size_t i = 0; i < p->nsamples; i++) {
		int64_t v = p->samples[i].value[type];
		uint64_t a = v < 0 ? -(uint64_t)v : (uint64_t)v;

		total += a;
		if (is_diff_base(p, &p->samples[i]))
			base += a;
	}
	return (int64_t)base > 0 ? (int64_t)base : (int64_t)total;
}

int report__begin(struct report *r, struct profile *p, const struct report_options *o,
		  unsigned *ret_unmatched, char *why, size_t why_len)
{
	*r = (struct report){.p = p, .o = *o};
	r->out_unit = o->unit ? o->unit : "minimum";
	r->total = total_of(p, o->type);
	return filter__apply(p, &o->filter, ret_unmatched, why, why_len);
}

int report__graph(struct report *r, struct graph *g, const struct graph_options *base)
{
	struct graph_options o = *base;

	o.type = r->o.type;
	o.source_path = r->o.source_path;
	o.trim_path = r->o.trim_path;
	return graph__build(g, r->p, &o);
}

static struct graph_options trimming(const struct report *r, int default_nodes)
{
	return (struct graph_options){
		.granularity = r->o.granularity,
		.cum = r->o.cum,
		.max_nodes = r->o.top >= 0 ? r->o.top : default_nodes,
		.node_fraction = r->o.node_fraction >= 0 ? r->o.node_fraction : NODE_FRACTION,
		.edge_fraction = r->o.edge_fraction >= 0 ? r->o.edge_fraction : EDGE_FRACTION,
	};
}

/* "minimum" becomes the unit in which the smallest node shown is at least 0.01. */
static void select_unit(struct report *r, const struct graph *g)
{
	const char *from = profile__text(r->p, r->p->sample_type[r->o.type].unit);
	const char *min_unit, *max_unit, *unit;
	int64_t min = 0;

	if (strcmp(r->out_unit, "minimum") || !g->norder)
		return;
	for (size_t i = 0; i < g->norder; i++) {
		const struct graph_node *n = &g->nodes[g->order[i]];
		int64_t v = llabs(n->flat ? n->flat : n->cum);

		if (v > 0 && (!min || v < min))
			min = v;
	}
	if (!min)
		min = r->total;
	measure__scale(min, from, "minimum", &min_unit);
	measure__scale(r->total, from, "minimum", &max_unit);
	unit = min_unit;
	if (strcmp(min_unit, max_unit) && min < INT64_MAX / 100 && min * 100 < r->total)
		measure__scale(100 * min, from, "minimum", &unit);
	r->out_unit = *unit ? unit : from;
}

/* Towards zero, within what an int64_t holds. */
static int64_t whole(double v)
{
	return v >= 0x1p62 ? (int64_t)1 << 62 : v <= -0x1p62 ? -((int64_t)1 << 62) : (int64_t)v;
}

static void line_with(FILE *f, const char *label, const char *text)
{
	fputs(label, f);
	emit__plain(f, text);
	putc('\n', f);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void time_line(FILE *f, int64_t ns)
{
	time_t s = ns / 1000000000 - (ns % 1000000000 < 0);
	char text[80];
	struct tm tm;

	if (localtime_r(&s, &tm) &&
	    strftime(text, sizeof(text), "%b %-d, %Y at %-I:%M%P (%Z)", &tm))
		fprintf(f, "Time: %s\n", text);
}

static void duration_line(const struct report *r, FILE *f)
{
	const char *from = profile__text(r->p, r->p->sample_type[r->o.type].unit), *unit;
	char duration[MEASURE_LEN], total[MEASURE_LEN], percent[MEASURE_LEN];
	double ns = measure__scale(r->total, from, "nanoseconds", &unit);

	measure__label(duration, sizeof(duration), r->p->duration_ns, "nanoseconds", "auto");
	report__value(r, r->total, total, sizeof(total));
	fprintf(f, "Duration: %s, Total samples = %s ", duration, total);
	if (!strcmp(unit, "ns") && ns != 0 && fabs(ns) < 0x1p62)
		fprintf(f, "(%s)",
			measure__percent(percent, sizeof(percent), (int64_t)ns, r->p->duration_ns));
	putc('\n', f);
}

void report__header(const struct report *r, FILE *f)
{
	const struct profile *p = r->p;

	if (p->nmappings && p->mappings[0].file)
		line_with(f, "File: ", base_name(profile__text(p, p->mappings[0].file)));
	if (p->nmappings && p->mappings[0].build_id)
		line_with(f, "Build ID: ", profile__text(p, p->mappings[0].build_id));
	for (size_t i = 0; i < p->ncomments; i++) {
		const char *c = profile__text(p, p->comments[i]);

		if (*c != '#')
			line_with(f, "", c);
	}
	if (p->sample_type[r->o.type].type)
		line_with(f, "Type: ", profile__text(p, p->sample_type[r->o.type].type));
	if (p->time_ns)
		time_line(f, p->time_ns);
	if (p->duration_ns)
		duration_line(r, f);
}

static void filter_line(FILE *f, bool *any, const char *key, const char *value)
{
	char text[400];

	if (!value)
		return;
	if (!*any)
		fputs("Active filters:\n", f);
	*any = true;
	snprintf(text, sizeof(text), "%s=%s", key, value);
	if (strlen(key) + 1 + strlen(value) > 80) /* shown in part */
		strcpy(text + 80, "\u2026");
	line_with(f, "   ", text);
}

static const char *pattern(const struct rx *rx)
{
	return rx ? rx__pattern(rx) : NULL;
}

static void filter_lines(const struct report *r, FILE *f)
{
	const struct filter *o = &r->o.filter;
	bool any = false;

	filter_line(f, &any, "focus", pattern(o->focus));
	filter_line(f, &any, "ignore", pattern(o->ignore));
	filter_line(f, &any, "hide", pattern(o->hide));
	filter_line(f, &any, "show", pattern(o->show));
	filter_line(f, &any, "show_from", pattern(o->show_from));
	filter_line(f, &any, "tagfocus", o->tag_focus);
	filter_line(f, &any, "tagignore", o->tag_ignore);
}

static void full_header(const struct report *r, FILE *f, const struct graph *g,
			const struct graph_options *o)
{
	char sum[MEASURE_LEN], total[MEASURE_LEN], percent[MEASURE_LEN], low[MEASURE_LEN];
	int64_t flat = 0;

	report__header(r, f);
	filter_lines(r, f);
	for (size_t i = 0; i < g->norder; i++)
		flat = (int64_t)((uint64_t)flat + (uint64_t)g->nodes[g->order[i]].flat);
	report__value(r, flat, sum, sizeof(sum));
	report__value(r, r->total, total, sizeof(total));
	measure__percent(percent, sizeof(percent), flat, r->total);
	fprintf(f, "Showing nodes accounting for %s, %s of %s total\n", sum,
		percent + strspn(percent, " "), total);
	if (!r->total)
		return;
	if (g->dropped_nodes) {
		report__value(r, whole(fabs((double)r->total * o->node_fraction)), low,
			      sizeof(low));
		fprintf(f, "Dropped %zu node%s (cum <= %s)\n", g->dropped_nodes,
			g->dropped_nodes > 1 ? "s" : "", low);
	}
	if (g->norder && g->norder < g->orig_count)
		fprintf(f, "Showing top %zu nodes out of %zu\n", g->norder, g->orig_count);
}

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
	struct graph_options o = trimming(r, 0);
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
	select_unit(r, &g);
	full_header(r, f, &g, &o);
	fprintf(f, "%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
	for (size_t i = 0; i < g.norder; i++) {
		const struct graph_node *n = &g.nodes[g.order[i]];
		uint8_t h = how[g.order[i]];

		sum = (int64_t)((uint64_t)sum + (uint64_t)n->flat);
		columns(r, f, n->flat, sum, n->cum);
		fputs("  ", f);
		emit__plain(f, graph__label(&g, g.order[i]));
		fputs(!(h & INLINED) ? "\n"
		      : h & CALLED   ? " (partial-inline)\n"
				     : " (inline)\n",
		      f);
	}
	graph__free(&g);
	return finish(f, err);
}

/* Edges of every node: those into node i are list[at[i]..at[i+1]]. */
struct adjacency {
	uint32_t *list, *at;
};

static int make_adjacency(const struct graph *g, bool in, struct adjacency *a)
{
	a->list = malloc((g->nedges + 1) * sizeof(*a->list));
	a->at = calloc(g->nnodes + 2, sizeof(*a->at));
	if (!a->list || !a->at)
		return -ENOMEM;
	for (size_t i = 0; i < g->nedges; i++)
		a->at[(in ? g->edges[i].dst : g->edges[i].src) + 2]++;
	for (size_t i = 2; i < g->nnodes + 2; i++)
		a->at[i] += a->at[i - 1];
	for (size_t i = 0; i < g->nedges; i++)
		a->list[a->at[(in ? g->edges[i].dst : g->edges[i].src) + 1]++] = i;
	return 0;
}

static void edge_lines(const struct report *r, FILE *f, struct graph *g, const struct adjacency *a,
		       uint32_t node, bool in)
{
	uint32_t *list = a->list + a->at[node];
	size_t n = a->at[node + 1] - a->at[node];

	graph__sort_edges(g, list, n);
	for (size_t i = 0; i < n; i++) {
		const struct graph_edge *e = &g->edges[list[i]];
		char value[MEASURE_LEN], percent[MEASURE_LEN];

		report__value(r, e->weight, value, sizeof(value));
		fprintf(f, "%50s %s |   ", value,
			measure__percent(percent, sizeof(percent), e->weight, g->nodes[node].cum));
		emit__plain(f, graph__label(g, in ? e->src : e->dst));
		fputs(e->inlined ? " (inline)\n" : "\n", f);
	}
}

#define TREE_LINE "----------------------------------------------------------+-------------\n"

static int print_tree(struct report *r, FILE *f, struct graph *g)
{
	struct adjacency in = {0}, out = {0};
	size_t matched = 0;
	int64_t sum = 0;
	int err = make_adjacency(g, true, &in);

	err = err ? err : make_adjacency(g, false, &out);
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
		sum = (int64_t)((uint64_t)sum + (uint64_t)n->flat);
		columns(r, f, n->flat, sum, n->cum);
		fputs("                | ", f);
		emit__plain(f, graph__label(g, node));
		putc('\n', f);
		edge_lines(r, f, g, &out, node, false);
	}
	if (g->norder)
		fputs(TREE_LINE, f);
	free(in.list);
	free(in.at);
	free(out.list);
	free(out.at);
	return err ? err : r->o.symbol && !matched ? -ENOENT : 0;
}

int report__tree(struct report *r, FILE *f)
{
	struct graph_options o = trimming(r, TREE_NODES);
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
	select_unit(r, &g);
	full_header(r, f, &g, &o);
	err = print_tree(r, f, &g);
	graph__free(&g);
	return finish(f, err);
}

static void total_line(FILE *f, const char *what, double objects, double bytes)
{
	char size[MEASURE_LEN];

	fprintf(f, "%-10s %12s in %.0f blocks\n", what,
		measure__label(size, sizeof(size), whole(bytes), "bytes", "auto"), objects);
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
