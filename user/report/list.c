/* SPDX-License-Identifier: GPL-2.0-or-later */
/* list.c - source annotated with flat and cum per line; see report.h. */
#include "core/util.h"
#include "core/emit.h"
#include "report/measure.h"
#include "report/report.h"
#include "report/sources.h"

#include <inttypes.h>
#include <string.h>

#define MARGIN 5		    /* lines before the first and after the last sample */
#define MAX_LINE ((int64_t)1 << 40) /* what a profile says beyond is nonsense */

struct function_group { /* the nodes of one function in one file */
	const uint32_t *node;
	size_t n;
};

static int64_t sane(int64_t line)
{
	return line < 0 ? 0 : min_of(line, MAX_LINE);
}

static void line_range(const struct graph *g, const struct function_group *grp, int64_t *first,
		       int64_t *last)
{
	*first = MAX_LINE;
	*last = 0;
	for (size_t i = 0; i < grp->n; i++) {
		const struct graph_node *n = &g->nodes[grp->node[i]];
		int64_t line = sane(n->line),
			start = n->start_line ? sane(n->start_line) : line - MARGIN;

		*first = min_of(*first, start);
		*last = max_of(*last, line + MARGIN);
	}
	*first = max_of(*first, (int64_t)1);
}

static void print_line(const struct report *r, FILE *f, int64_t line, const int64_t sum[2],
		       const char *source)
{
	char flat[MEASURE_LEN], cum[MEASURE_LEN];

	report__value_or_dot(r, sum[0], flat, sizeof(flat));
	report__value_or_dot(r, sum[1], cum, sizeof(cum));
	fprintf(f, "%10s %10s %6" PRId64 ":", flat, cum, line);
	report__source(f, source, emit__plain);
	putc('\n', f);
}

static void print_lines(const struct report *r, FILE *f, const struct graph *g,
			const struct function_group *grp, const struct source_text *s,
			int64_t first, int64_t last)
{
	for (int64_t line = first; line <= last && line <= (int64_t)s->n; line++) {
		int64_t sum[2] = {0};

		for (size_t i = 0; i < grp->n; i++) {
			const struct graph_node *n = &g->nodes[grp->node[i]];

			if (n->line == line) {
				util__add(&sum[0], n->flat);
				util__add(&sum[1], n->cum);
			}
		}
		print_line(r, f, line, sum, sources__line(s, line));
	}
}

static void print_head(const struct report *r, FILE *f, const struct graph *g,
		       const struct function_group *grp)
{
	const struct graph_node *n = &g->nodes[grp->node[0]];
	char flat[MEASURE_LEN], cum[MEASURE_LEN], percent[MEASURE_LEN];
	int64_t sum[2] = {0};

	for (size_t i = 0; i < grp->n; i++) {
		util__add(&sum[0], g->nodes[grp->node[i]].flat);
		util__add(&sum[1], g->nodes[grp->node[i]].cum);
	}
	report__value(r, sum[0], flat, sizeof(flat));
	report__value(r, sum[1], cum, sizeof(cum));
	fputs("ROUTINE ======================== ", f);
	emit__plain(f, profile__text(g->p, n->name));
	fputs(" in ", f);
	emit__plain(f, profile__text(g->p, n->file));
	fprintf(f, "\n%10s %10s (flat, cum) %s of Total\n", flat, cum,
		measure__percent(percent, sizeof(percent), sum[1], r->total));
}

static int print_group(const struct report *r, FILE *f, const struct graph *g,
		       const struct function_group *grp, struct sources *cache)
{
	const char *file = profile__text(g->p, g->nodes[grp->node[0]].file);
	const struct source_text *s = sources__known(cache, file);
	int64_t first, last;
	int err = 0;

	line_range(g, grp, &first, &last);
	if (first <= last) /* else what is known of the file is said, as pprof does */
		err = sources__read(cache, file, &s);
	if (err)
		return err;
	print_head(r, f, g, grp);
	if (!s)
		return 0;
	if (s->why) {
		fputs(" Error: ", f);
		emit__plain(f, s->why);
		putc('\n', f);
	} else {
		print_lines(r, f, g, grp, s, first, last);
	}
	return 0;
}

static int by_name_file_line(const void *x, const void *y, void *arg)
{
	const struct graph *g = arg;
	const struct graph_node *a = &g->nodes[*(const uint32_t *)x];
	const struct graph_node *b = &g->nodes[*(const uint32_t *)y];
	int c = strcmp(profile__text(g->p, a->name), profile__text(g->p, b->name));

	c = c ? c : strcmp(profile__text(g->p, a->file), profile__text(g->p, b->file));
	if (c)
		return c;
	if (a->start_line != b->start_line)
		return a->start_line < b->start_line ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static int print_functions(const struct report *r, FILE *f, const struct graph *g,
			   const uint32_t *node, size_t n, struct sources *cache)
{
	int err = 0;

	for (size_t i = 0; i < n && !err;) {
		const struct graph_node *first = &g->nodes[node[i]];
		struct function_group grp = {.node = node + i};
		bool more;

		while (i + grp.n < n && g->nodes[node[i + grp.n]].name == first->name &&
		       g->nodes[node[i + grp.n]].file == first->file)
			grp.n++;
		i += grp.n;
		if (first->file) {
			err = print_group(r, f, g, &grp, cache);
			continue;
		}
		/* Without a file (it sorts first): said only if no file follows for the name. */
		more = i < n && g->nodes[node[i]].name == first->name;
		if (!more) {
			fputs("No source information for ", f);
			emit__plain(f, profile__text(g->p, first->name));
			putc('\n', f);
		}
	}
	return err;
}

int report__list(struct report *r, FILE *f)
{
	struct graph_options o = {.granularity = GRAPH_LINES, .object_names = true};
	cleanup_free uint32_t *node = NULL;
	char total[MEASURE_LEN];
	struct sources cache = {0};
	struct graph g;
	size_t n = 0;
	int err = report__graph(r, &g, &o);

	if (err)
		return err;
	node = malloc((g.norder + 1) * sizeof(*node));
	err = node ? sources__init(&cache, r->o.source_path, r->o.trim_path) : -ENOMEM;
	for (size_t i = 0; i < g.norder && !err; i++) {
		if (rx__match(r->o.symbol, profile__text(g.p, g.nodes[g.order[i]].name)))
			node[n++] = g.order[i];
	}
	if (!err && !n)
		err = -ENOENT;
	if (!err) {
		qsort_r(node, n, sizeof(*node), by_name_file_line, &g);
		report__value(r, r->total, total, sizeof(total));
		fprintf(f, "Total: %s\n", total);
		err = print_functions(r, f, &g, node, n, &cache);
	}
	sources__fini(&cache);
	graph__free(&g);
	return emit__end(f, err);
}
