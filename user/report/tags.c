/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tags.c - labels with what their samples hold, comments, and the top functions as a profile; see
 * report.h. */
#include "core/emit.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "format/pprof.h"
#include "report/keytab.h"
#include "report/measure.h"
#include "report/report.h"

#include <string.h>

struct tag_sum {
	uint32_t key, value; /* strings */
	int64_t sum;
};

struct tag_sums {
	struct tag_sum *tag;
	size_t ntags, tags_cap;
	struct keytab tags;
	struct profile_adder to; /* what fails stays in its err, and all that follows is left */
};

static void add_sum(struct tag_sums *t, uint32_t key, uint32_t value, int64_t v)
{
	uint32_t pair[] = {key, value}, at;
	int *err = &t->to.err;
	bool fresh;

	if (!*err)
		*err = keytab__add(&t->tags, pair, 2, &at, &fresh);
	if (!*err)
		*err = array_reserve(t->tag, t->tags_cap, t->ntags + 1);
	if (*err)
		return;
	if (fresh)
		t->tag[t->ntags++] = (struct tag_sum){.key = key, .value = value};
	t->tag[at].sum = (int64_t)((uint64_t)t->tag[at].sum + (uint64_t)v);
}

static void sum_tags(const struct report *r, struct tag_sums *t)
{
	struct profile *p = r->p;

	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];

		for (size_t k = 0; k < s->nlabels; k++) {
			const struct profile_label *l = &p->labels[s->label0 + k];
			uint32_t key = l->key, value = l->str;
			char text[MEASURE_LEN];

			if (!value) {
				measure__label(text, sizeof(text), l->num,
					       filter__label_unit(p, r->label_units, key),
					       r->out_unit);
				value = profile__add_string(&t->to, text);
			}
			add_sum(t, key, value, s->value[r->o.type]);
		}
	}
}

static uint64_t magnitude(int64_t v)
{
	return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

/* Keys by name, a key's values by what they hold. */
static int tag_order(const void *x, const void *y, void *arg)
{
	const struct tag_sum *a = x, *b = y;
	const struct profile *p = arg;
	int r = strcmp(profile__text(p, a->key), profile__text(p, b->key));

	if (!r && magnitude(a->sum) != magnitude(b->sum))
		r = magnitude(a->sum) < magnitude(b->sum) ? 1 : -1;
	return r ? r : strcmp(profile__text(p, a->value), profile__text(p, b->value));
}

static size_t columns_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* "1.5kB (12.5%):" */
static const char *amount(const struct report *r, int64_t v, int64_t total, char buf[160])
{
	const char *unit;
	double d = measure__scale(v, profile__text(r->p, r->p->sample_type[r->o.type].unit),
				  r->out_unit, &unit);
	char percent[MEASURE_LEN];

	if (total > 0)
		snprintf(buf, 160, "%.1f%s (%s):", d, unit,
			 measure__percent(percent, sizeof(percent), v, total));
	else
		snprintf(buf, 160, "%.1f%s:", d, unit);
	return buf;
}

static void put_key(const struct report *r, FILE *f, const struct tag_sum *tag, size_t n,
		    int64_t total)
{
	const struct profile *p = r->p;
	const char *unit;
	double d = measure__scale(total, profile__text(p, p->sample_type[r->o.type].unit),
				  r->out_unit, &unit);
	struct textbuf name = {0};
	size_t first, width = 0;
	char buf[160];

	textbuf__plain(&name, profile__text(p, tag->key), "");
	textbuf__str(&name, ":");
	first = columns_of(name.text ? name.text : "") + 1;
	for (size_t i = 0; i < n; i++)
		width = max_of(width, columns_of(amount(r, tag[i].sum, total, buf)) + 1);
	fprintf(f, " %s Total %.1f%s\n", name.text ? name.text : "", d, unit);
	for (size_t i = 0; i < n; i++) {
		amount(r, tag[i].sum, total, buf);
		fprintf(f, "%*s%*s%s ", (int)first, "", (int)(width - columns_of(buf)), "", buf);
		emit__plain(f, profile__text(p, tag[i].value));
		putc('\n', f);
	}
	putc('\n', f);
	textbuf__free(&name);
}

static int64_t total_of(const struct tag_sum *tag, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint64_t)tag[i].sum;
	return (int64_t)sum;
}

int report__tags(struct report *r, FILE *f)
{
	struct tag_sums t = {.to.p = r->p};

	sum_tags(r, &t);
	if (!t.to.err && t.ntags)
		qsort_r(t.tag, t.ntags, sizeof(*t.tag), tag_order, r->p);
	for (size_t i = 0, end; i < t.ntags && !t.to.err; i = end) {
		for (end = i; end < t.ntags && t.tag[end].key == t.tag[i].key;)
			end++;
		put_key(r, f, &t.tag[i], end - i, total_of(&t.tag[i], end - i));
	}
	free(t.tag);
	keytab__free(&t.tags);
	return emit__end(f, t.to.err);
}

int report__comments(struct report *r, FILE *f)
{
	for (size_t i = 0; i < r->p->ncomments; i++) {
		emit__plain(f, profile__text(r->p, r->p->comments[i]));
		putc('\n', f);
	}
	return emit__end(f, 0);
}

/* A function of the graph's as a location of its own. */
static int put_top(const struct report *r, const struct graph *g, const struct graph_node *n,
		   struct profile *out)
{
	const char *from = profile__text(r->p, r->p->sample_type[r->o.type].unit), *unit;
	struct profile_function fn = {.start_line = n->start_line};
	struct profile_location l = {.mapping = PROFILE_NONE, .address = n->address, .nlines = 1};
	int64_t value[2] = {
		report__whole(measure__scale(graph__cum(n), from, r->out_unit, &unit)),
		report__whole(measure__scale(graph__flat(n), from, r->out_unit, &unit)),
	};
	struct profile_line line = {.line = n->line};
	struct profile_adder a = {out, 0};
	uint32_t at = out->nlocations;

	fn.name = profile__add_string(&a, profile__text(g->p, n->name));
	fn.file = profile__add_string(&a, profile__text(g->p, n->file));
	line.function = profile__add_function(&a, &fn);
	if (!a.err)
		a.err = array_reserve(out->lines, out->lines_cap, out->nlines + 1);
	if (!a.err)
		a.err = array_reserve(out->locations, out->locations_cap, out->nlocations + 1);
	if (a.err)
		return a.err;
	l.line0 = out->nlines;
	out->lines[out->nlines++] = line;
	out->locations[out->nlocations++] = l;
	return profile__sample(out, &at, 1, value, NULL, 0);
}

static int set_types(const struct report *r, struct profile *out)
{
	const struct profile *p = r->p;
	const struct profile_text texts[] = {
		{"cum", &out->sample_type[0].type},
		{"flat", &out->sample_type[1].type},
		{r->out_unit, &out->sample_type[0].unit},
		{r->out_unit, &out->sample_type[1].unit},
		{profile__text(p, p->period_type.type), &out->period_type.type},
		{profile__text(p, p->period_type.unit), &out->period_type.unit},
	};

	out->nvalues = 2;
	out->time_ns = p->time_ns;
	out->duration_ns = p->duration_ns;
	out->period = p->period;
	return profile__strings(out, texts, ARRAY_SIZE(texts));
}

int report__top_proto(struct report *r, FILE *f)
{
	struct graph_options o = report__trimming(r, 0);
	struct profile *out = NULL;
	struct graph g;
	int err = report__graph(r, &g, &o);

	if (err)
		return err;
	report__select_unit(r, &g, false);
	err = profile__new(&out);
	err = err ? err : set_types(r, out);
	for (size_t i = 0; i < g.norder && !err; i++)
		err = put_top(r, &g, &g.nodes[g.order[i]], out);
	err = err ? err : pprof__write(f, out);
	profile__free(out);
	graph__free(&g);
	return emit__end(f, err);
}
