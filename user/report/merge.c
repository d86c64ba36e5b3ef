/* SPDX-License-Identifier: GPL-2.0-or-later */
/* merge.c - see merge.h. */
#include "report/merge.h"

#include "core/util.h"
#include "report/keytab.h"
#include "report/measure.h"

#include <string.h>

struct merger {
	struct profile *dst;
	struct keytab mappings, locations, samples;
	/* of the source at hand: its ids to ours, PROFILE_NONE: not yet */
	const struct profile *src;
	uint32_t *mapping, *location, *function, *string;
	int err; /* of our_string */
	uint32_t *key;
	size_t key_cap;
	struct profile_line *lines;
	size_t lines_cap;
	bool with_hists;    /* every source has them */
	struct hist *hists; /* by dst's sample; all hists_cap are initialised */
	size_t hists_cap;
};

static struct hist take_hist(struct hist *h)
{
	struct hist taken = *h;

	*h = (struct hist){0};
	return taken;
}

/* Our id for a string of the source's. What fails stays in m->err, and all that follows is left. */
static uint32_t our_string(struct merger *m, uint32_t id)
{
	if (id >= m->src->nstrings)
		id = 0;
	if (!m->err && m->string[id] == PROFILE_NONE)
		m->err = profile__string(m->dst, profile__text(m->src, id), &m->string[id]);
	return m->string[id];
}

static int map_mapping(struct merger *m, uint32_t id, uint32_t *ret)
{
	struct profile_mapping o;
	uint64_t size;
	bool fresh;
	int err;

	*ret = PROFILE_NONE;
	if (id >= m->src->nmappings)
		return 0;
	if (m->mapping[id] != PROFILE_NONE) {
		*ret = m->mapping[id];
		return 0;
	}
	o = m->src->mappings[id];
	o.file = our_string(m, o.file);
	o.build_id = our_string(m, o.build_id);
	if (m->err)
		return m->err;
	/* Address space randomisation and small differences in size do not count. */
	size = (o.limit - o.start + 0xfff) / 0x1000;
	uint32_t key[] = {size, size >> 32, o.offset, o.offset >> 32,
			  o.build_id ? o.build_id : o.file};
	err = keytab__add(&m->mappings, key, ARRAY_SIZE(key), &m->mapping[id], &fresh);
	if (err)
		return err;
	if (fresh) {
		err = array_reserve(m->dst->mappings, m->dst->mappings_cap, m->dst->nmappings + 1);
		if (err)
			return err;
		m->dst->mappings[m->dst->nmappings++] = o;
	}
	*ret = m->mapping[id];
	return 0;
}

static int map_function(struct merger *m, uint32_t id, uint32_t *ret)
{
	struct profile_function f;
	int err = 0;

	*ret = PROFILE_NONE;
	if (id >= m->src->nfunctions)
		return 0;
	if (m->function[id] == PROFILE_NONE) {
		f = m->src->functions[id];
		f.name = our_string(m, f.name);
		f.system_name = our_string(m, f.system_name);
		f.file = our_string(m, f.file);
		err = m->err ? m->err : profile__function(m->dst, &f, &m->function[id]);
	}
	*ret = m->function[id];
	return err;
}

static int add_location(struct merger *m, struct profile_location l)
{
	struct profile *d = m->dst;
	int err = array_reserve(d->locations, d->locations_cap, d->nlocations + 1);

	err = err ? err : array_reserve(d->lines, d->lines_cap, d->nlines + l.nlines);
	if (err)
		return err;
	l.line0 = d->nlines;
	if (l.nlines)
		memcpy(d->lines + d->nlines, m->lines, l.nlines * sizeof(*m->lines));
	d->nlines += l.nlines;
	d->locations[d->nlocations++] = l;
	return 0;
}

static int map_location(struct merger *m, uint32_t id, uint32_t *ret)
{
	const struct profile_location *o = &m->src->locations[id];
	struct profile_location l = *o;
	uint64_t rel;
	size_t k = 0;
	bool fresh;
	int err;

	if (m->location[id] != PROFILE_NONE) {
		*ret = m->location[id];
		return 0;
	}
	err = map_mapping(m, o->mapping, &l.mapping);
	err = err ? err : array_reserve(m->key, m->key_cap, 4 + o->nlines * 3);
	err = err ? err : array_reserve(m->lines, m->lines_cap, o->nlines);
	if (err)
		return err;
	rel = l.address;
	if (l.mapping != PROFILE_NONE) {
		rel -= m->src->mappings[o->mapping].start;
		l.address = rel + m->dst->mappings[l.mapping].start;
	}
	m->key[k++] = rel;
	m->key[k++] = rel >> 32;
	m->key[k++] = l.mapping;
	m->key[k++] = l.is_folded;
	for (size_t i = 0; i < o->nlines; i++) {
		m->lines[i] = m->src->lines[o->line0 + i];
		err = map_function(m, m->lines[i].function, &m->lines[i].function);
		if (err)
			return err;
		m->key[k++] = m->lines[i].function;
		m->key[k++] = m->lines[i].line;
		m->key[k++] = (uint64_t)m->lines[i].line >> 32;
	}
	err = keytab__add(&m->locations, m->key, k, &m->location[id], &fresh);
	if (!err && fresh)
		err = add_location(m, l);
	*ret = m->location[id];
	return err;
}

static bool is_zero(const struct profile *p, const struct profile_sample *s)
{
	for (size_t i = 0; i < p->nvalues; i++) {
		if (s->value[i])
			return false;
	}
	return true;
}

/* Stable, by key: the order of different keys does not matter, that within one does. */
static void sort_labels(struct profile_label *l, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct profile_label x = l[i];
		size_t j = i;

		for (; j && l[j - 1].key > x.key; j--)
			l[j] = l[j - 1];
		l[j] = x;
	}
}

static int add_sample(struct merger *m, const struct profile_sample *s, uint32_t *ret)
{
	struct profile_label label[64], sorted[64];
	size_t nlabels = min_of((size_t)s->nlabels, ARRAY_SIZE(label)), k = 0;
	bool fresh;
	int err = array_reserve(m->key, m->key_cap, s->nstack + 1);

	/* The stack goes into an array of its own: mapping locations uses the scratch key. */
	cleanup_free uint32_t *key = malloc((s->nstack + nlabels * 5 + 1) * sizeof(*key));

	if (err || !key)
		return -ENOMEM;
	for (size_t i = 0; i < s->nstack; i++) {
		err = map_location(m, m->src->stack[s->stack0 + i], &key[k++]);
		if (err)
			return err;
	}
	key[k++] = PROFILE_NONE;
	for (size_t i = 0; i < nlabels; i++) {
		label[i] = m->src->labels[s->label0 + i];
		label[i].key = our_string(m, label[i].key);
		label[i].str = our_string(m, label[i].str);
		label[i].unit = our_string(m, label[i].unit);
	}
	if (m->err)
		return m->err;
	memcpy(sorted, label, nlabels * sizeof(*label));
	sort_labels(sorted, nlabels);
	for (size_t i = 0; i < nlabels; i++) {
		key[k++] = sorted[i].key;
		key[k++] = sorted[i].str;
		key[k++] = sorted[i].num;
		key[k++] = (uint64_t)sorted[i].num >> 32;
		key[k++] = sorted[i].unit;
	}
	err = keytab__add(&m->samples, key, k, ret, &fresh);
	if (err)
		return err;
	if (fresh)
		return profile__sample(m->dst, key, s->nstack, s->value, label, nlabels);
	for (size_t i = 0; i < m->dst->nvalues; i++)
		m->dst->samples[*ret].value[i] =
			(int64_t)((uint64_t)m->dst->samples[*ret].value[i] + (uint64_t)s->value[i]);
	return 0;
}

/* The histograms of a sample that became dst's `index`. */
static int add_hist(struct merger *m, const struct hist *h, uint32_t index)
{
	size_t had = m->hists_cap;
	int err = array_reserve(m->hists, m->hists_cap, (size_t)index + 1);

	if (err)
		return err;
	if (m->hists_cap > had)
		memset(m->hists + had, 0, (m->hists_cap - had) * sizeof(*m->hists));
	return hist__merge(&m->hists[index], h);
}

/* Those of dst's samples, in their order. */
static int put_hists(struct merger *m)
{
	struct profile *d = m->dst;
	int err = 0;

	for (size_t i = 0; i < m->hists_cap && i < d->nsamples && !err; i++) {
		if (!m->hists[i].mask)
			continue;
		err = array_reserve(d->hists, d->hists_cap, d->nhists + 1);
		if (!err)
			d->hists[d->nhists++] = (struct profile_hist){i, take_hist(&m->hists[i])};
	}
	return err;
}

static uint32_t *none_array(size_t n)
{
	uint32_t *a = malloc((n + 1) * sizeof(*a));

	if (a)
		memset(a, 0xff, (n + 1) * sizeof(*a));
	return a;
}

static void drop_source(struct merger *m)
{
	free(m->mapping);
	free(m->location);
	free(m->function);
	free(m->string);
	m->mapping = m->location = m->function = m->string = NULL;
}

static int add_comments(struct merger *m, const struct profile *src)
{
	struct profile *d = m->dst;

	for (size_t i = 0; i < src->ncomments; i++) {
		uint32_t id = our_string(m, src->comments[i]);
		bool seen = false;
		int err = m->err;

		for (size_t j = 0; j < d->ncomments && !err; j++)
			seen |= d->comments[j] == id;
		if (!seen && !err)
			err = array_reserve(d->comments, d->comments_cap, d->ncomments + 1);
		if (err)
			return err;
		if (!seen)
			d->comments[d->ncomments++] = id;
	}
	return 0;
}

/* What memwatch knows besides; totals of several profiles add up like their samples. */
static int add_own(struct merger *m, const struct profile *src, bool first)
{
	struct profile *d = m->dst;
	int err;

	if (first) {
		d->pid = src->pid;
		d->sample_bytes = src->sample_bytes;
		d->comm = our_string(m, src->comm);
		d->cmdline = our_string(m, src->cmdline);
	} else if (d->pid != src->pid) {
		d->pid = 0;
	}
	d->totals.alloc_objects += src->totals.alloc_objects;
	d->totals.alloc_bytes += src->totals.alloc_bytes;
	d->totals.free_objects += src->totals.free_objects;
	d->totals.free_bytes += src->totals.free_bytes;
	d->totals.inuse_objects += src->totals.inuse_objects;
	d->totals.inuse_bytes += src->totals.inuse_bytes;
	err = m->err;
	for (size_t i = 0; i < src->nlosses && !err; i++)
		err = profile__loss(d, profile__text(src, src->losses[i].cause),
				    src->losses[i].count, src->losses[i].bytes);
	for (size_t i = 0; i < src->nledgers && !err; i++)
		err = profile__ledger(d, src->ledgers[i].pid,
				      profile__text(src, src->ledgers[i].comm),
				      &src->ledgers[i].ledger);
	return err;
}

static struct profile_value_type our_type(struct merger *m, struct profile_value_type t)
{
	return (struct profile_value_type){our_string(m, t.type), our_string(m, t.unit)};
}

static int add_header(struct merger *m, const struct profile *src, bool first)
{
	struct profile *d = m->dst;
	int err;

	if (first) {
		d->nvalues = src->nvalues;
		for (size_t i = 0; i < src->nvalues; i++)
			d->sample_type[i] = our_type(m, src->sample_type[i]);
		d->period_type = our_type(m, src->period_type);
		d->drop_frames = our_string(m, src->drop_frames);
		d->keep_frames = our_string(m, src->keep_frames);
	}
	if (!d->time_ns || src->time_ns < d->time_ns)
		d->time_ns = src->time_ns;
	d->duration_ns = (int64_t)((uint64_t)d->duration_ns + (uint64_t)src->duration_ns);
	if (!d->period || d->period < src->period)
		d->period = src->period;
	if (!d->default_sample_type)
		d->default_sample_type = our_string(m, src->default_sample_type);
	err = add_comments(m, src);
	return err ? err : add_own(m, src, first);
}

static int add_profile(struct merger *m, const struct profile *src, bool first)
{
	uint32_t unused;
	int err;

	m->src = src;
	m->mapping = none_array(src->nmappings);
	m->location = none_array(src->nlocations);
	m->function = none_array(src->nfunctions);
	m->string = none_array(src->nstrings);
	if (!m->mapping || !m->location || !m->function || !m->string)
		return -ENOMEM;
	err = add_header(m, src, first);
	/* The first mapping is the main executable: it stays first. */
	if (!err && !m->dst->nmappings && src->nmappings)
		err = map_mapping(m, 0, &unused);
	for (size_t i = 0; i < src->nsamples && !err; i++) {
		const struct hist *h = m->with_hists ? profile__find_hist(src, i) : NULL;
		uint32_t index;

		if (is_zero(src, &src->samples[i]))
			continue;
		err = add_sample(m, &src->samples[i], &index);
		if (!err && h)
			err = add_hist(m, h, index);
	}
	if (!err && m->with_hists)
		err = profile__hist_total(m->dst, src->hist_total);
	drop_source(m);
	return err;
}

static bool same_type(const struct profile *a, struct profile_value_type x, const struct profile *b,
		      struct profile_value_type y)
{
	return !strcmp(profile__text(a, x.type), profile__text(b, y.type)) &&
	       !strcmp(profile__text(a, x.unit), profile__text(b, y.unit));
}

static const char *differ(const struct profile *a, const struct profile *b)
{
	if (!same_type(a, a->period_type, b, b->period_type))
		return "their period types differ";
	if (a->nvalues != b->nvalues)
		return "their sample types differ";
	for (size_t i = 0; i < a->nvalues; i++) {
		if (!same_type(a, a->sample_type[i], b, b->sample_type[i]))
			return "their sample types differ";
	}
	return NULL;
}

int merge__profiles(struct profile *const *src, size_t n, struct profile **ret,
		    const char **ret_why)
{
	struct merger m = {.with_hists = true};
	bool zeros = false;
	int err;

	for (size_t i = 0; i < n; i++)
		m.with_hists &= src[i]->hist_total != NULL;

	for (size_t i = 1; i < n; i++) {
		*ret_why = differ(src[0], src[i]);
		if (*ret_why)
			return -EINVAL;
	}
	*ret_why = "out of memory";
	err = profile__new(&m.dst);
	for (size_t i = 0; i < n && !err; i++) {
		m.dst->difference |= src[i]->difference;
		err = add_profile(&m, src[i], i == 0);
	}
	err = err ? err : put_hists(&m);
	for (size_t i = 0; i < m.hists_cap; i++)
		hist__clear(&m.hists[i]);
	free(m.hists);
	drop_source(&m);
	keytab__free(&m.mappings);
	keytab__free(&m.locations);
	keytab__free(&m.samples);
	free(m.key);
	free(m.lines);
	for (size_t i = 0; !err && i < m.dst->nsamples; i++)
		zeros |= is_zero(m.dst, &m.dst->samples[i]);
	if (zeros) { /* values cancelled out: once more, without them */
		err = merge__profiles(&m.dst, 1, ret, ret_why);
		profile__free(m.dst);
		return err;
	}
	if (err)
		profile__free(m.dst);
	else
		*ret = m.dst;
	return err;
}

static void negate(struct profile *p)
{
	double *t[] = {&p->totals.alloc_objects, &p->totals.alloc_bytes,   &p->totals.free_objects,
		       &p->totals.free_bytes,	 &p->totals.inuse_objects, &p->totals.inuse_bytes};

	profile__drop_hists(p); /* they say nothing of a difference */
	for (size_t i = 0; i < p->nsamples; i++) {
		for (size_t k = 0; k < p->nvalues; k++)
			p->samples[i].value[k] = (int64_t) - (uint64_t)p->samples[i].value[k];
	}
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		*t[i] = -*t[i];
	p->nledgers = 0; /* of the other moment: no difference is made of them */
}

int merge__subtract(struct profile **p, struct profile *base, const char **ret_why)
{
	struct profile *both[] = {*p, base}, *diff;
	int err;

	negate(base);
	err = merge__profiles(both, 2, &diff, ret_why);
	if (err)
		return err;
	profile__free(*p);
	diff->difference = true;
	*p = diff;
	return 0;
}

int merge__label(struct profile *p, const char *key, const char *value)
{
	struct profile_adder a = {p, 0};
	struct profile_label l = {.key = profile__add_string(&a, key)};
	struct profile_label *all;
	size_t n = 0;

	l.str = profile__add_string(&a, value);
	if (a.err)
		return a.err;
	all = malloc((p->nlabels + p->nsamples + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		struct profile_sample *s = &p->samples[i];
		size_t first = n;

		for (size_t j = 0; j < s->nlabels; j++) {
			if (p->labels[s->label0 + j].key != l.key)
				all[n++] = p->labels[s->label0 + j];
		}
		all[n++] = l;
		s->label0 = first;
		s->nlabels = n - first;
	}
	free(p->labels);
	p->labels = all;
	p->nlabels = p->labels_cap = n;
	return 0;
}

/* Drops the label "bytes": the mean block size differs between two moments of one stack. */
static void drop_labels(struct profile *p)
{
	for (size_t i = 0; i < p->nsamples; i++) {
		struct profile_sample *s = &p->samples[i];
		size_t n = 0;

		for (size_t j = 0; j < s->nlabels; j++) {
			struct profile_label l = p->labels[s->label0 + j];

			if (strcmp(profile__text(p, l.key), "bytes"))
				p->labels[s->label0 + n++] = l;
		}
		s->nlabels = n;
	}
}

static const char *not_one_run(const struct profile *then, const struct profile *now)
{
	double a = 0, b = 0;

	if (then->pid != now->pid)
		return "the files are not of one process";
	for (size_t i = 0; i < then->nsamples; i++)
		a += (double)then->samples[i].value[PROFILE_ALLOC_SPACE];
	for (size_t i = 0; i < now->nsamples; i++)
		b += (double)now->samples[i].value[PROFILE_ALLOC_SPACE];
	if (a > b)
		return "less was allocated at the later moment: not one run, or the wrong order";
	return NULL;
}

static int64_t clamp(int64_t v, int64_t hi)
{
	return v < 0 || hi < 0 ? 0 : min_of(v, hi);
}

/* A fifth value, in use now, travels through the merge: it bounds the survivors from above. */
enum { IN_USE_NOW = PROFILE_INUSE_SPACE + 1 };

static void remember_in_use(struct profile *p, bool now)
{
	p->sample_type[IN_USE_NOW] = p->sample_type[PROFILE_INUSE_SPACE];
	p->nvalues = IN_USE_NOW + 1;
	for (size_t i = 0; i < p->nsamples; i++)
		p->samples[i].value[IN_USE_NOW] =
			now ? p->samples[i].value[PROFILE_INUSE_SPACE] : 0;
}

/* now - then per stack, and what of it survives at least and at most. */
static int reduce_to_survivors(struct profile *diff)
{
	int64_t at_least = 0, at_most = 0, allocated = 0;
	char low[MEASURE_LEN], high[MEASURE_LEN], all[MEASURE_LEN], text[320];

	diff->nvalues = IN_USE_NOW;
	for (size_t i = 0; i < diff->nsamples; i++) {
		int64_t *v = diff->samples[i].value;

		v[PROFILE_ALLOC_OBJECTS] = max_of(v[PROFILE_ALLOC_OBJECTS], 0);
		v[PROFILE_ALLOC_SPACE] = max_of(v[PROFILE_ALLOC_SPACE], 0);
		v[PROFILE_INUSE_OBJECTS] =
			clamp(v[PROFILE_INUSE_OBJECTS], v[PROFILE_ALLOC_OBJECTS]);
		v[PROFILE_INUSE_SPACE] = clamp(v[PROFILE_INUSE_SPACE], v[PROFILE_ALLOC_SPACE]);
		util__add(&at_least, v[PROFILE_INUSE_SPACE]);
		util__add(&at_most, clamp(v[IN_USE_NOW], v[PROFILE_ALLOC_SPACE]));
		util__add(&allocated, v[PROFILE_ALLOC_SPACE]);
	}
	diff->totals = (struct profile_totals){0};
	snprintf(text, sizeof(text),
		 "memwatch: survivors: allocated between the two moments and still live: at least "
		 "%s, "
		 "at most %s of %s allocated",
		 measure__label(low, sizeof(low), at_least, "bytes", "auto"),
		 measure__label(high, sizeof(high), at_most, "bytes", "auto"),
		 measure__label(all, sizeof(all), allocated, "bytes", "auto"));
	return profile__comment(diff, text);
}

int merge__survivors(struct profile *then, struct profile *now, struct profile **ret,
		     const char **ret_why)
{
	struct profile *diff, *both[2] = {now, then};
	int err;

	if (!profile__is_heap(then) || !profile__is_heap(now)) {
		*ret_why = "survivors need the four sample types of a heap profile in both files";
		return -EINVAL;
	}
	*ret_why = not_one_run(then, now);
	if (*ret_why)
		return -EINVAL;
	profile__drop_hists(then);
	profile__drop_hists(now);
	drop_labels(then);
	drop_labels(now);
	remember_in_use(then, false);
	remember_in_use(now, true);
	negate(then);
	err = merge__profiles(both, 2, &diff, ret_why);
	then->nvalues = now->nvalues = IN_USE_NOW;
	if (err)
		return err;
	diff->time_ns = now->time_ns;
	if (then->duration_ns > 0 &&
	    now->duration_ns > then->duration_ns) /* snapshots of one watch */
		diff->duration_ns = now->duration_ns - then->duration_ns;
	err = reduce_to_survivors(diff);
	if (!err)
		err = merge__profiles(&diff, 1, ret, ret_why);
	profile__free(diff);
	return err;
}
