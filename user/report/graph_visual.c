/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph_visual.c - which nodes, labels and edges a picture of the graph shows, as pprof chooses. */
#include "core/textbuf.h"
#include "core/util.h"
#include "report/graph_priv.h"
#include "report/measure.h"

#include <math.h>
#include <string.h>

/* --- labels --- */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "key:value" of all text labels, sorted, a line each; 0 without any. */
int graph_visual__join_labels(struct profile *p, const struct profile_sample *s, uint32_t *ret)
{
	char **text = calloc(s->nlabels + 1, sizeof(*text));
	struct textbuf all = {0};
	size_t n = 0;
	int err = text ? 0 : -ENOMEM;

	*ret = 0;
	for (size_t i = 0; i < s->nlabels && !err; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];
		const char *key = profile__text(p, l->key);

		if (!l->str || !strcmp(key, "pprof::base"))
			continue;
		if (asprintf(&text[n], "%s:%s", key, profile__text(p, l->str)) < 0)
			err = -ENOMEM;
		else
			n++;
	}
	if (n && !err) {
		qsort(text, n, sizeof(*text), by_bytes);
		for (size_t i = 0; i < n; i++) {
			textbuf__str(&all, i ? "\n" : "");
			textbuf__str(&all, text[i]);
		}
		err = all.err ? all.err : profile__string_n(p, all.text, all.len, ret);
	}
	for (size_t i = 0; i < n; i++)
		free(text[i]);
	free(text);
	textbuf__free(&all);
	return err;
}

static int add_tag(struct graph *g, struct keytab *keys, const struct graph_tag *t, int64_t v,
		   int64_t div, bool flat)
{
	uint32_t key[] = {t->node, t->labels, t->name}, at;
	bool fresh;
	int err = keytab__add(keys, key, ARRAY_SIZE(key), &at, &fresh);

	err = err ? err : array_reserve(g->tags, g->tags_cap, g->ntags + 1);
	if (err)
		return err;
	if (fresh)
		g->tags[g->ntags++] = *t;
	if (flat) {
		g->tags[at].flat = graph__sum(g->tags[at].flat, v);
		g->tags[at].flat_div = graph__sum(g->tags[at].flat_div, div);
	} else {
		g->tags[at].cum = graph__sum(g->tags[at].cum, v);
		g->tags[at].cum_div = graph__sum(g->tags[at].cum_div, div);
	}
	return 0;
}

/* One sample's labels, given to one node. */
int graph_visual__tag(struct graph *g, const struct graph_options *o, struct keytab *keys,
		      const struct profile_sample *s, uint32_t labels, uint32_t node, int64_t v,
		      int64_t div, bool flat)
{
	struct profile *p = g->p;
	struct graph_tag t = {.node = node, .labels = labels};
	int err = labels ? add_tag(g, keys, &t, v, div, flat) : 0;

	for (size_t i = 0; i < s->nlabels && !err; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];
		char text[MEASURE_LEN];

		if (l->str || strcmp(profile__text(p, l->key), "bytes"))
			continue;
		t.value = l->num;
		measure__label(text, sizeof(text), l->num, o->tag_units, o->tag_unit);
		err = profile__string(p, text, &t.name);
		err = err ? err : profile__string(p, o->tag_units, &t.unit);
		err = err ? err : add_tag(g, keys, &t, v, div, flat);
	}
	return err;
}

static int tag_sample(struct graph *g, const struct graph_options *o, struct keytab *keys,
		      uint32_t *seen, uint32_t sample)
{
	struct profile *p = g->p;
	const struct profile_sample *s = &p->samples[sample];
	uint32_t labels, last = PROFILE_NONE;
	int64_t v, div;
	int err;

	if (!graph_nodes__weigh(g, o, s, &v, &div) || !s->nlabels || !s->nstack)
		return 0;
	err = graph_visual__join_labels(p, s, &labels);
	for (size_t j = s->nstack; j-- > 0;) {
		uint32_t loc = p->stack[s->stack0 + j];

		for (uint32_t k = g->location0[loc + 1]; k-- > g->location0[loc] && !err;) {
			last = g->line_node[k];
			if (seen[last] == sample + 1)
				continue;
			seen[last] = sample + 1;
			err = graph_visual__tag(g, o, keys, s, labels, last, v, div, false);
		}
	}
	return err || last == PROFILE_NONE
		       ? err
		       : graph_visual__tag(g, o, keys, s, labels, last, v, div, true);
}

static int by_node(const void *a, const void *b)
{
	const struct graph_tag *x = a, *y = b;

	return x->node < y->node ? -1 : x->node > y->node;
}

int graph_visual__index_tags(struct graph *g)
{
	g->tag0 = calloc(g->nnodes + 2, sizeof(*g->tag0));
	if (!g->tag0)
		return -ENOMEM;
	if (g->ntags)
		qsort(g->tags, g->ntags, sizeof(*g->tags), by_node);
	for (size_t i = 0; i < g->ntags; i++)
		g->tag0[g->tags[i].node + 1]++;
	for (size_t i = 0; i < g->nnodes; i++)
		g->tag0[i + 1] += g->tag0[i];
	return 0;
}

int graph_visual__tags(struct graph *g, const struct graph_options *o)
{
	cleanup_free uint32_t *seen = calloc(g->nnodes + 1, sizeof(*seen));
	struct keytab keys = {0};
	int err = seen ? 0 : -ENOMEM;

	for (size_t i = 0; i < g->p->nsamples && !err; i++)
		err = tag_sample(g, o, &keys, seen, i);
	keytab__free(&keys);
	return err ? err : graph_visual__index_tags(g);
}

void graph_visual__trim_tags(struct graph *g, int64_t cutoff)
{
	for (size_t i = 0; i < g->ntags; i++)
		g->tags[i].dropped |=
			abs64(g->tags[i].flat) < cutoff && abs64(g->tags[i].cum) < cutoff;
}

#define MAX_NODELETS 4u

size_t graph_visual__select(const struct graph *g, size_t max_nodes)
{
	size_t count = 0;

	for (size_t i = 0; i < g->norder; i++) {
		uint32_t node = g->order[i];
		size_t tags = 0;

		for (size_t k = g->tag0[node]; k < g->tag0[node + 1]; k++)
			tags += !g->tags[k].dropped && g->tags[k].flat;
		count += min_of(tags, MAX_NODELETS) + 1;
		if (count >= max_nodes)
			return i + 1;
	}
	return min_of(max_nodes, g->norder);
}

/* --- order --- */

/* Outside of its range, and not-a-number: what the processor makes of it, as Go has it. */
static int64_t to_int64(double v)
{
	return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

static double entropy(const struct graph *g, const uint32_t *edges, size_t n, int64_t self)
{
	int64_t total = self;
	double score = 0, part;

	for (size_t i = 0; i < n; i++) {
		if (g->edges[edges[i]].weight > 0)
			total = graph__sum(total, g->edges[edges[i]].weight);
	}
	if (!total)
		return 0;
	for (size_t i = 0; i < n; i++) {
		part = (double)abs64(g->edges[edges[i]].weight) / (double)total;
		score += -part * log2(part);
	}
	if (self > 0) {
		part = (double)self / (double)total;
		score += -part * log2(part);
	}
	return score;
}

struct by_score {
	struct graph *g;
	int64_t *score;
};

static int score_order(const void *x, const void *y, void *arg)
{
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	const struct by_score *by = arg;
	const struct graph_node *a = &by->g->nodes[i], *b = &by->g->nodes[j];
	int64_t s = abs64(by->score[i]), t = abs64(by->score[j]);
	int r = s < t ? 1 : s > t ? -1 : 0;

	r = r ? r : strcmp(graph__label(by->g, i), graph__label(by->g, j));
	if (!r && a->flat != b->flat)
		r = abs64(a->flat) < abs64(b->flat) ? 1 : abs64(a->flat) > abs64(b->flat) ? -1 : 0;
	r = r ? r : graph_label__compare_info(by->g, a, b);
	return r ? r : i < j ? -1 : i > j;
}

int graph_visual__sort(struct graph *g)
{
	struct by_score by = {g, calloc(g->nnodes + 1, sizeof(*by.score))};
	struct graph_adjacency in = {0}, out = {0};
	int err = by.score ? graph__adjacency(g, true, &in) : -ENOMEM;

	err = err ? err : graph__adjacency(g, false, &out);
	for (size_t i = 0; i < g->norder && !err; i++) {
		uint32_t n = g->order[i];
		const struct graph_node *node = &g->nodes[n];
		size_t nin = in.at[n + 1] - in.at[n], nout = out.at[n + 1] - out.at[n];
		double score = 0;

		score += nin ? entropy(g, in.list + in.at[n], nin, 0) : 1;
		score += nout ? entropy(g, out.list + out.at[n], nout, node->flat) : 1;
		by.score[n] = graph__sum(to_int64(score * (double)node->cum), node->flat);
	}
	if (!err)
		qsort_r(g->order, g->norder, sizeof(*g->order), score_order, &by);
	graph__adjacency_free(&in);
	graph__adjacency_free(&out);
	free(by.score);
	return err;
}

/* --- redundant edges --- */

struct edge_walk {
	struct graph *g;
	struct graph_adjacency in;
	uint32_t *queue, *seen, round;
};

/* Does another way lead from the edge's source to its destination? */
static bool is_redundant(struct edge_walk *w, const struct graph_edge *e)
{
	size_t head = 0, n = 0;

	w->queue[n++] = e->dst;
	w->seen[e->dst] = ++w->round;
	while (head < n) {
		uint32_t node = w->queue[head++];

		for (uint32_t i = w->in.at[node]; i < w->in.at[node + 1]; i++) {
			const struct graph_edge *up = &w->g->edges[w->in.list[i]];

			if (up == e || up->dropped || w->seen[up->src] == w->round)
				continue;
			if (up->src == e->src)
				return true;
			w->seen[up->src] = w->round;
			w->queue[n++] = up->src;
		}
	}
	return false;
}

int graph_visual__thin(struct graph *g)
{
	struct edge_walk w = {.g = g};
	int err = graph__adjacency(g, true, &w.in);

	w.queue = malloc((g->nnodes + 1) * sizeof(*w.queue));
	w.seen = calloc(g->nnodes + 1, sizeof(*w.seen));
	if (!w.queue || !w.seen)
		err = -ENOMEM;
	for (size_t i = g->norder; i-- > 0 && !err;) {
		uint32_t n = g->order[i], *list = w.in.list + w.in.at[n];
		size_t len = w.in.at[n + 1] - w.in.at[n];

		graph__sort_edges(g, list, len);
		for (size_t j = len; j-- > 0;) {
			struct graph_edge *e = &g->edges[list[j]];

			/* An edge heavier than a real call stays: leaving it out would confuse. */
			if (!e->residual)
				break;
			e->dropped = is_redundant(&w, e);
		}
	}
	graph__adjacency_free(&w.in);
	free(w.queue);
	free(w.seen);
	return err;
}
