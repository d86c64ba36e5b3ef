/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dot_tags.c - see dot_tags.h. */
#include "report/dot_tags.h"

#include "core/util.h"
#include "report/dot_names.h"
#include "report/measure.h"

#include <math.h>
#include <string.h>

#define MAX_NODELETS 4

struct nodelet { /* numbers that are near each other */
	char name[2 * MEASURE_LEN + 4];
	int64_t flat, cum;
};

struct tag_list {
	struct graph_tag *const *tag;
	size_t n;
};

const char *dot_tags__unit(const struct report *r)
{
	const struct profile *p = r->p;

	for (size_t i = 0; i < p->nsamples; i++) {
		for (size_t k = 0; k < p->samples[i].nlabels; k++) {
			const struct profile_label *l = &p->labels[p->samples[i].label0 + k];

			if (!l->str && !strcmp(profile__text(p, l->key), "bytes"))
				return filter__label_unit(p, r->label_units, l->key);
		}
	}
	return "bytes";
}

static int64_t magnitude(int64_t v)
{
	return v < 0 ? (int64_t) - (uint64_t)v : v;
}

static int64_t tag_flat(const struct graph_tag *t)
{
	return graph__quotient(t->flat, t->flat_div);
}

static int64_t tag_cum(const struct graph_tag *t)
{
	return graph__quotient(t->cum, t->cum_div);
}

struct tag_order {
	const struct profile *p;
	bool flat; /* by flat alone, else by cum first */
};

static int compare(int64_t a, int64_t b)
{
	a = magnitude(a);
	b = magnitude(b);
	return a < b ? 1 : a > b ? -1 : 0;
}

static int by_weight(const void *x, const void *y, void *arg)
{
	const struct graph_tag *a = *(struct graph_tag *const *)x,
			       *b = *(struct graph_tag *const *)y;
	const struct tag_order *o = arg;
	int r = o->flat ? 0 : compare(a->cum, b->cum);

	r = r ? r : compare(a->flat, b->flat);
	return r ? r
		 : strcmp(profile__text(o->p, a->name ? a->name : a->labels),
			  profile__text(o->p, b->name ? b->name : b->labels));
}

static int nodelet_order(const void *x, const void *y, void *arg)
{
	const struct nodelet *a = x, *b = y;
	const bool *flat = arg;
	int r = *flat ? 0 : compare(a->cum, b->cum);

	r = r ? r : compare(a->flat, b->flat);
	return r ? r : strcmp(a->name, b->name);
}

static double distance(const struct profile *p, const struct graph_tag *t,
		       const struct graph_tag *u)
{
	const char *unit;

	return fabs(measure__scale(u->value, profile__text(p, u->unit), profile__text(p, t->unit),
				   &unit) -
		    (double)t->value);
}

/* "4kB..6kB" and the sums of what is in group `which`. */
static void sum_group(const struct profile *p, const struct tag_list *l, const size_t *group,
		      size_t which, struct nodelet *ret)
{
	const struct graph_tag *low = l->tag[which], *high = low;
	int64_t flat = 0, flat_div = 0, cum = 0, cum_div = 0;
	char a[MEASURE_LEN], b[MEASURE_LEN];
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct graph_tag *t = l->tag[i];

		if (group[i] != which)
			continue;
		low = t->value < low->value ? t : low;
		high = t->value > high->value ? t : high;
		util__add(&flat, t->flat);
		util__add(&flat_div, t->flat_div);
		util__add(&cum, t->cum);
		util__add(&cum_div, t->cum_div);
		n++;
	}
	measure__label(a, sizeof(a), low->value, profile__text(p, low->unit), "auto");
	measure__label(b, sizeof(b), high->value, profile__text(p, high->unit), "auto");
	snprintf(ret->name, sizeof(ret->name), n > 1 ? "%s..%s" : "%s", a, b);
	ret->flat = graph__quotient(flat, flat_div);
	ret->cum = graph__quotient(cum, cum_div);
}

/* Numbers in at most four groups around those with most in them. Sorted. */
static int collapse(const struct profile *p, const struct tag_list *l, bool flat,
		    struct nodelet ret[MAX_NODELETS], size_t *ret_n)
{
	cleanup_free size_t *group = malloc((l->n + 1) * sizeof(*group));
	size_t n = min_of(l->n, (size_t)MAX_NODELETS);

	if (!group)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		group[i] = i < n ? i : 0;
		for (size_t k = 1; k < n && i >= n; k++) {
			if (distance(p, l->tag[i], l->tag[k]) <
			    distance(p, l->tag[i], l->tag[group[i]]))
				group[i] = k;
		}
	}
	for (size_t k = 0; k < n; k++) {
		if (l->n <= MAX_NODELETS) {
			snprintf(ret[k].name, sizeof(ret[k].name), "%s",
				 profile__text(p, l->tag[k]->name));
			ret[k].flat = tag_flat(l->tag[k]);
			ret[k].cum = tag_cum(l->tag[k]);
		} else {
			sum_group(p, l, group, k, &ret[k]);
		}
	}
	if (n && l->n > MAX_NODELETS)
		qsort_r(ret, n, sizeof(*ret), nodelet_order, &flat);
	*ret_n = n;
	return 0;
}

static void arrow(FILE *f, const char *from, const char *to, const char *weight, const char *style)
{
	fprintf(f, "%s -> %s [label=\" %s\" weight=100 tooltip=\"%s\" labeltooltip=\"%s\"%s]\n",
		from, to, weight, weight, weight, style);
}

struct tag_sheet {
	struct report *r;
	struct graph *g;
	FILE *f;
	bool any; /* something was drawn */
};

/* The numbers that come with one set of text labels (0: with none), hung below `source`. */
static int put_numbers(struct tag_sheet *t, struct graph_tag *const *tag, size_t n, uint32_t labels,
		       bool flat, const char *source)
{
	cleanup_free struct graph_tag **mine = malloc((n + 1) * sizeof(*mine));
	struct tag_order order = {t->g->p, flat};
	struct nodelet box[MAX_NODELETS];
	struct tag_list l = {mine, 0};
	size_t nboxes;
	int err;

	if (!mine)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (tag[i]->name && tag[i]->labels == labels)
			mine[l.n++] = tag[i];
	}
	if (l.n)
		qsort_r(mine, l.n, sizeof(*mine), by_weight, &order);
	err = collapse(t->g->p, &l, flat, box, &nboxes);
	for (size_t j = 0; j < nboxes && !err; j++) {
		bool own = flat || box[j].flat == box[j].cum;
		int64_t w = own ? box[j].flat : box[j].cum;
		char weight[MEASURE_LEN], id[64];

		if (!w)
			continue;
		t->any = true;
		report__value(t->r, w, weight, sizeof(weight));
		snprintf(id, sizeof(id), "N%s_%zu", source, j);
		fprintf(t->f, "%s [label = \"", id);
		dot_names__escaped(t->f, box[j].name);
		fprintf(t->f, "\" id=\"%s\" fontsize=8 shape=box3d tooltip=\"%s\"]\n", id, weight);
		arrow(t->f, source, id, weight, own ? "" : " style=\"dotted\"");
	}
	return err;
}

static int put_labels(struct tag_sheet *t, struct graph_tag *const *tag, size_t n, bool flat,
		      uint32_t id)
{
	cleanup_free struct graph_tag **text = malloc((n + 1) * sizeof(*text));
	struct tag_order order = {t->g->p, flat};
	size_t k = 0;
	int err = text ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++) {
		if (!tag[i]->name)
			text[k++] = tag[i];
	}
	if (k)
		qsort_r(text, k, sizeof(*text), by_weight, &order);
	for (size_t i = 0; i < min_of(k, (size_t)MAX_NODELETS) && !err; i++) {
		int64_t w = flat ? tag_flat(text[i]) : tag_cum(text[i]);
		char weight[MEASURE_LEN], from[32], to[32];

		if (!w)
			continue;
		t->any = true;
		report__value(t->r, w, weight, sizeof(weight));
		snprintf(from, sizeof(from), "N%u", id);
		snprintf(to, sizeof(to), "N%u_%zu", id, i);
		fprintf(t->f, "%s [label = \"", to);
		dot_names__lines(t->f, profile__text(t->g->p, text[i]->labels), "\\n");
		fprintf(t->f, "\" id=\"%s\" fontsize=8 shape=box3d tooltip=\"%s\"]\n", to, weight);
		arrow(t->f, from, to, weight, "");
		err = put_numbers(t, tag, n, text[i]->labels, flat, to);
	}
	return err;
}

int dot_tags__put(struct report *r, FILE *f, struct graph *g, uint32_t node, uint32_t id,
		  bool *ret_any)
{
	size_t n = g->tag0[node + 1] - g->tag0[node], k = 0;
	cleanup_free struct graph_tag **tag = malloc((n + 1) * sizeof(*tag));
	bool flat = g->nodes[node].calls; /* a leaf stands for what was left out below it */
	struct tag_sheet t = {r, g, f, false};
	char source[32];
	int err;

	if (!tag)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!g->tags[g->tag0[node] + i].dropped)
			tag[k++] = &g->tags[g->tag0[node] + i];
	}
	err = put_labels(&t, tag, k, flat, id);
	snprintf(source, sizeof(source), "N%u", id);
	err = err ? err : put_numbers(&t, tag, k, 0, flat, source);
	*ret_any = t.any;
	return err;
}
