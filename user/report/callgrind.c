/* SPDX-License-Identifier: GPL-2.0-or-later */
/* callgrind.c - the call graph in callgrind's format, for KCachegrind; see report.h. */
#include "core/emit.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "report/keytab.h"
#include "report/measure.h"
#include "report/report.h"

#include <inttypes.h>
#include <string.h>

struct callgrind {
	struct report *r;
	struct graph *g;
	FILE *f;
	/* Names get a number where they appear first, and are the number from then on. */
	struct keytab objects, files, functions;
	char **name; /* of a node, where several functions share theirs; else NULL */
	int err;
};

static void put_name(struct callgrind *c, const char *what, struct keytab *tab, const char *text)
{
	struct textbuf b = {0};
	uint32_t id, string = 0;
	bool fresh;

	fputs(what, c->f);
	if (*text && !c->err) {
		c->err = profile__string(c->g->p, text, &string);
		if (!c->err)
			c->err = keytab__add(tab, &string, 1, &id, &fresh);
		if (!c->err) {
			textbuf__plain(&b, profile__text(c->g->p, string), "");
			fprintf(c->f, fresh ? "(%u) %s" : "(%u)", id + 1, b.text ? b.text : "");
		}
	}
	putc('\n', c->f);
	textbuf__free(&b);
}

/* Relative to the node before where that is shorter. */
static const char *address(const struct graph_node *before, uint64_t at, char buf[24])
{
	char relative[24];

	snprintf(buf, 24, at ? "0x%" PRIx64 : "0x0", at);
	if (!before)
		return buf;
	if (before->address == at)
		return "*";
	snprintf(relative, sizeof(relative), "%+" PRId64, (int64_t)(at - before->address));
	if (strlen(relative) < strlen(buf))
		strcpy(buf, relative);
	return buf;
}

static int64_t scaled_value(const struct callgrind *c, int64_t v)
{
	const struct report *r = c->r;
	const char *unit;

	return report__whole(measure__scale(
		v, profile__text(r->p, r->p->sample_type[r->o.type].unit), r->out_unit, &unit));
}

/* A function whose values cancel out is in no list, and has no name in pprof's output. */
static const char *node_name(const struct callgrind *c, uint32_t node)
{
	if (!c->g->nodes[node].listed)
		return "";
	return c->name[node] ? c->name[node] : profile__text(c->g->p, c->g->nodes[node].name);
}

static void put_calls(struct callgrind *c, const struct graph_node *before,
		      const struct graph_adjacency *out, uint32_t node)
{
	uint32_t *list = out->list + out->at[node];
	size_t n = out->at[node + 1] - out->at[node];
	char buf[24];

	graph__sort_edges(c->g, list, n);
	for (size_t i = 0; i < n; i++) {
		const struct graph_edge *e = &c->g->edges[list[i]];
		const struct graph_node *callee = &c->g->nodes[e->dst];

		put_name(c, "cfl=", &c->files, profile__text(c->g->p, callee->file));
		put_name(c, "cfn=", &c->functions, node_name(c, e->dst));
		fprintf(c->f, "calls=0 %s %" PRId64 "\n* * %" PRId64 "\n",
			address(before, callee->address, buf), callee->line,
			scaled_value(c, e->weight));
	}
}

static void put_function(struct callgrind *c, const struct graph_node *before,
			 const struct graph_adjacency *out, uint32_t node)
{
	const struct graph_node *n = &c->g->nodes[node];
	char buf[24];

	if (!before || n->object != before->object || n->file != before->file ||
	    n->name != before->name) {
		putc('\n', c->f);
		put_name(c, "ob=", &c->objects, profile__text(c->g->p, n->object));
		put_name(c, "fl=", &c->files, profile__text(c->g->p, n->file));
		put_name(c, "fn=", &c->functions, profile__text(c->g->p, n->name));
	}
	fprintf(c->f, "%s %" PRId64 " %" PRId64 "\n", address(before, n->address, buf), n->line,
		scaled_value(c, graph__flat(n)));
	put_calls(c, before, out, node);
}

/* The function that a node is of: a number for each, among those of one name and file too. */
static int number_functions(const struct graph *g, uint32_t *which, uint32_t *among)
{
	struct keytab functions = {0}, names = {0};
	uint32_t name, function;
	bool fresh;
	int err = 0;

	for (size_t i = 0; i < g->norder && !err; i++) {
		const struct graph_node *n = &g->nodes[g->order[i]];
		uint32_t caller =
			n->parent == PROFILE_NONE ? PROFILE_NONE : g->edges[n->parent].src;
		uint32_t key[] = {n->name, n->file, n->object, n->start_line, n->start_line >> 32,
				  caller};

		err = keytab__add(&names, key, 2, &name, &fresh);
		err = err ? err : keytab__add(&functions, key, ARRAY_SIZE(key), &function, &fresh);
		if (err)
			break;
		which[g->order[i]] = function;
		among[g->order[i]] = name;
	}
	keytab__free(&functions);
	keytab__free(&names);
	return err;
}

struct name_use {
	uint32_t name, function, at; /* at: place in order[] of its first node */
};

static int by_first_use(const void *x, const void *y)
{
	const struct name_use *a = x, *b = y;

	if (a->name != b->name)
		return a->name < b->name ? -1 : 1;
	if (a->function != b->function)
		return a->function < b->function ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

/* "name [1/2]" where functions of one name and file are several. Functions are numbered in order.
 */
static int tell_apart(struct callgrind *c)
{
	struct graph *g = c->g;
	cleanup_free uint32_t *which = malloc((g->nnodes + 1) * sizeof(*which));
	cleanup_free uint32_t *among = malloc((g->nnodes + 1) * sizeof(*among));
	cleanup_free struct name_use *use = malloc((g->norder + 1) * sizeof(*use));
	int err = which && among && use ? number_functions(g, which, among) : -ENOMEM;

	if (err)
		return err;
	for (size_t i = 0; i < g->norder; i++)
		use[i] = (struct name_use){among[g->order[i]], which[g->order[i]], i};
	if (g->norder)
		qsort(use, g->norder, sizeof(*use), by_first_use);
	for (size_t i = 0, end; i < g->norder; i = end) {
		size_t functions = 0, k = 0;

		for (end = i; end < g->norder && use[end].name == use[i].name; end++)
			functions += end == i || use[end].function != use[end - 1].function;
		for (size_t j = i; j < end && functions > 1; j++) {
			uint32_t node = g->order[use[j].at];

			k += j == i || use[j].function != use[j - 1].function;
			if (asprintf(&c->name[node], "%s [%zu/%zu]",
				     profile__text(g->p, g->nodes[node].name), k, functions) < 0) {
				c->name[node] = NULL;
				return -ENOMEM;
			}
		}
	}
	return 0;
}

static int put_graph(struct callgrind *c)
{
	const struct profile *p = c->g->p;
	const struct graph_node *before = NULL;
	struct graph_adjacency out = {0};

	c->err = graph__adjacency(c->g, false, &out);
	c->err = c->err ? c->err : tell_apart(c);
	fprintf(c->f, "positions: instr line\nevents: %s%s(%s)\n", c->r->o.mean ? "mean_" : "",
		profile__text(p, p->sample_type[c->r->o.type].type), c->r->out_unit);
	for (size_t i = 0; i < c->g->norder && !c->err; i++) {
		put_function(c, before, &out, c->g->order[i]);
		before = &c->g->nodes[c->g->order[i]];
	}
	graph__adjacency_free(&out);
	return c->err;
}

int report__callgrind(struct report *r, FILE *f)
{
	struct graph_options o = report__trimming(r, 0);
	struct callgrind c = {.r = r, .f = f};
	struct graph g;
	int err;

	o.edges = o.object_names = true;
	o.call_tree = r->o.call_tree;
	err = report__graph(r, &g, &o);
	if (err)
		return err;
	report__select_unit(r, &g, true);
	c.g = &g;
	c.name = calloc(g.nnodes + 1, sizeof(*c.name));
	err = c.name ? put_graph(&c) : -ENOMEM;
	for (size_t i = 0; c.name && i < g.nnodes; i++)
		free(c.name[i]);
	free(c.name);
	keytab__free(&c.objects);
	keytab__free(&c.files);
	keytab__free(&c.functions);
	graph__free(&g);
	return emit__end(f, err);
}
