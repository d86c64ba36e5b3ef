/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record_read.c - see record.h. Untrusted input: every number is checked against what the file
 * has defined so far, and no count is believed beyond the bytes that are left to hold it.
 */
#include "format/record.h"

#include "core/top_n.h"
#include "core/util.h"
#include "format/record_format.h"
#include "format/record_hist.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

struct tick_data { /* where a tick's changes are, and what else it says */
	const uint8_t *changes, *end;
	struct record_cursor section[RECORD_SECTIONS];
	size_t nstacks; /* stacks defined up to it */
	int64_t duration_ns, period;
	uint64_t sample_bytes;
	uint32_t pid, comm, cmdline;
};

struct record {
	struct profile *dict; /* its samples are the stacks, without values */
	struct record_tick *ticks;
	size_t nticks, ticks_cap;
	struct tick_data *data;
	size_t ndata, data_cap;
	size_t damage;
	bool sectioned; /* the second version of the format */
};

/* A number below `limit`. */
static uint32_t get_index(struct record_cursor *c, size_t limit)
{
	uint64_t v = record__get(c);

	if (v >= limit)
		c->bad = true;
	return c->bad ? 0 : (uint32_t)v;
}

static double get_double(struct record_cursor *c)
{
	double v = 0;

	if ((size_t)(c->end - c->at) < sizeof(v)) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->at, sizeof(v));
	c->at += sizeof(v);
	return isfinite(v) ? v : 0;
}

/* The file numbers things in the order of their coming: an element that the dictionary takes for
 * one it has would shift all numbers behind it, so it is damage. */
static int check_new(int err, const uint32_t *got, size_t want)
{
	return err ? err : *got == want ? 0 : -EBADMSG;
}

/* What a block defines, element by element. */
struct definitions {
	struct record_cursor *c;
	struct profile *d;
	struct profile_line *lines; /* scratch: one element */
	uint32_t *stack;
	struct profile_label *labels;
	size_t lines_cap, stack_cap, labels_cap;
};

static int read_string(struct definitions *f)
{
	struct record_cursor *c = f->c;
	uint64_t len = record__get_count(c);
	size_t want = f->d->nstrings;
	uint32_t id;
	int err;

	if (c->bad || memchr(c->at, 0, len))
		return -EBADMSG;
	err = profile__string_n(f->d, (const char *)c->at, len, &id);
	c->at += len;
	return check_new(err, &id, want);
}

static int read_mapping(struct definitions *f)
{
	struct record_cursor *c = f->c;
	struct profile_mapping m = {.start = record__get(c)};
	size_t want = f->d->nmappings;
	uint32_t id;
	uint64_t has;

	m.limit = record__get(c);
	m.offset = record__get(c);
	m.file = get_index(c, f->d->nstrings);
	m.build_id = get_index(c, f->d->nstrings);
	has = record__get(c);
	m.has_functions = has & 1;
	m.has_filenames = has & 2;
	m.has_lines = has & 4;
	m.has_inlines = has & 8;
	return c->bad ? -EBADMSG : check_new(profile__mapping(f->d, &m, &id), &id, want);
}

static int read_function(struct definitions *f)
{
	struct record_cursor *c = f->c;
	struct profile_function fn = {.name = get_index(c, f->d->nstrings)};
	size_t want = f->d->nfunctions;
	uint32_t id;

	fn.system_name = get_index(c, f->d->nstrings);
	fn.file = get_index(c, f->d->nstrings);
	fn.start_line = record__get_signed(c);
	return c->bad ? -EBADMSG : check_new(profile__function(f->d, &fn, &id), &id, want);
}

static int read_location(struct definitions *f)
{
	struct record_cursor *c = f->c;
	uint32_t mapping = get_index(c, f->d->nmappings + 1), id;
	uint64_t address = record__get(c), n = record__get_count(c);
	size_t want = f->d->nlocations;
	int err = array_reserve(f->lines, f->lines_cap, n + 1);

	for (uint64_t k = 0; k < n && !err && !c->bad; k++) {
		f->lines[k].function = get_index(c, f->d->nfunctions);
		f->lines[k].line = record__get_signed(c);
		f->lines[k].column = record__get_signed(c);
	}
	if (err || c->bad)
		return err ? err : -EBADMSG;
	err = profile__location(f->d, mapping ? mapping - 1 : PROFILE_NONE, address, f->lines, n,
				&id);
	return check_new(err, &id, want);
}

static int read_stack(struct definitions *f)
{
	static const int64_t zero[PROFILE_MAX_VALUES];
	struct record_cursor *c = f->c;
	uint64_t depth = record__get_count(c), nlabels;
	int err = array_reserve(f->stack, f->stack_cap, depth + 1);

	for (uint64_t k = 0; k < depth && !err && !c->bad; k++)
		f->stack[k] = get_index(c, f->d->nlocations);
	nlabels = record__get_count(c);
	if (!err)
		err = array_reserve(f->labels, f->labels_cap, nlabels + 1);
	for (uint64_t k = 0; k < nlabels && !err && !c->bad; k++) {
		f->labels[k].key = get_index(c, f->d->nstrings);
		f->labels[k].str = get_index(c, f->d->nstrings);
		f->labels[k].num = record__get_signed(c);
		f->labels[k].unit = get_index(c, f->d->nstrings);
	}
	if (err || c->bad)
		return err ? err : -EBADMSG;
	return profile__sample(f->d, f->stack, depth, zero, f->labels, nlabels);
}

/* In this order: each refers to those before. */
static int read_definitions(struct record_cursor *c, struct profile *d)
{
	static int (*const read[])(struct definitions *) = {
		read_string, read_mapping, read_function, read_location, read_stack};
	struct definitions f = {.c = c, .d = d};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(read) && !err; i++) {
		uint64_t n = record__get_count(c);

		for (uint64_t k = 0; k < n && !err; k++)
			err = read[i](&f);
	}
	free(f.lines);
	free(f.stack);
	free(f.labels);
	return err ? err : c->bad ? -EBADMSG : 0;
}

static int read_section(struct record_cursor *c, struct tick_data *d)
{
	uint64_t id = record__get(c), len = record__get_count(c);
	struct record_cursor section = {.at = c->at, .end = c->at + len};

	if (c->bad || !record_hists__check(id, section, d->nstacks))
		return -EBADMSG;
	if (id < RECORD_SECTIONS)
		d->section[id] = section;
	c->at += len;
	return 0;
}

static int read_tick(struct record *r, struct record_cursor *c)
{
	struct record_tick t = {0};
	struct tick_data d = {0};
	uint64_t n, at = 0;
	int err;

	t.time_unix_ns = record__get_signed(c);
	d.duration_ns = record__get_signed(c);
	d.pid = (uint32_t)record__get(c);
	d.comm = get_index(c, r->dict->nstrings);
	d.cmdline = get_index(c, r->dict->nstrings);
	d.sample_bytes = record__get(c);
	d.period = record__get_signed(c);
	t.rss_bytes = record__get_signed(c);
	t.virt_bytes = record__get_signed(c);
	t.lost = record__get(c);
	t.totals = (struct profile_totals){.alloc_objects = get_double(c)};
	t.totals.alloc_bytes = get_double(c);
	t.totals.free_objects = get_double(c);
	t.totals.free_bytes = get_double(c);
	t.totals.inuse_objects = get_double(c);
	t.totals.inuse_bytes = get_double(c);
	d.changes = c->at;
	d.nstacks = r->dict->nsamples;
	/* checked once here, so that replaying needs no checks */
	n = record__get_count(c);
	for (uint64_t i = 0; i < n && !c->bad; i++) {
		uint64_t step = record__get(c);

		if (step >= d.nstacks - at)
			return -EBADMSG;
		at += step;
		for (int v = 0; v < RECORD_VALUES; v++)
			record__get(c);
	}
	d.end = c->at;
	while (r->sectioned && !c->bad && c->at < c->end) {
		err = read_section(c, &d);
		if (err)
			return err;
	}
	if (c->bad || c->at != c->end || t.time_unix_ns < 0 || d.duration_ns < 0)
		return -EBADMSG;
	if (r->nticks && t.time_unix_ns < r->ticks[r->nticks - 1].time_unix_ns)
		t.time_unix_ns = r->ticks[r->nticks - 1].time_unix_ns; /* the clock was set back */
	err = array_reserve(r->ticks, r->ticks_cap, r->nticks + 1);
	if (!err)
		err = array_reserve(r->data, r->data_cap, r->ndata + 1);
	if (err)
		return err;
	r->ticks[r->nticks++] = t;
	r->data[r->ndata++] = d;
	return 0;
}

static int read_block(struct record *r, const uint8_t *data, size_t len, size_t *ret_used)
{
	struct record_block head;
	struct record_cursor c;
	int err;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, data, sizeof(head));
	if (head.magic != RECORD_BLOCK_MAGIC || head.length > RECORD_MAX_BLOCK ||
	    head.length > len - sizeof(head))
		return -EBADMSG;
	data += sizeof(head);
	if (crc32(0, data, head.length) != head.crc)
		return -EBADMSG;
	c = (struct record_cursor){.at = data, .end = data + head.length};
	err = read_definitions(&c, r->dict);
	if (!err)
		err = read_tick(r, &c);
	*ret_used = sizeof(head) + head.length;
	return err;
}

bool record__is(const void *data, size_t len)
{
	return len >= sizeof(RECORD_MAGIC) &&
	       (!memcmp(data, RECORD_MAGIC, sizeof(RECORD_MAGIC)) ||
		!memcmp(data, RECORD_MAGIC_1, sizeof(RECORD_MAGIC_1)));
}

int record__read(const void *data, size_t len, struct record **ret)
{
	struct record *r;
	size_t at = sizeof(RECORD_MAGIC), used = 0;
	int err;

	if (!record__is(data, len))
		return -EBADMSG;
	r = calloc(1, sizeof(*r));
	err = r ? profile__new(&r->dict) : -ENOMEM;
	if (r)
		r->sectioned = !memcmp(data, RECORD_MAGIC, sizeof(RECORD_MAGIC));
	while (!err && at < len) {
		err = read_block(r, (const uint8_t *)data + at, len - at, &used);
		if (!err)
			at += used;
	}
	if (err && err != -ENOMEM && r && r->nticks)
		err = 0;
	if (!err && !r->nticks)
		err = -EBADMSG;
	if (err) {
		record__free(r);
		return err;
	}
	r->damage = len - at;
	*ret = r;
	return 0;
}

void record__free(struct record *r)
{
	if (!r)
		return;
	profile__free(r->dict);
	free(r->ticks);
	free(r->data);
	free(r);
}

size_t record__damage(const struct record *r)
{
	return r->damage;
}

size_t record__ticks(const struct record *r, const struct record_tick **ret)
{
	*ret = r->ticks;
	return r->nticks;
}

size_t record__tick_at(const struct record *r, int64_t time_unix_ns)
{
	size_t i = 0;

	while (i + 1 < r->nticks && r->ticks[i + 1].time_unix_ns <= time_unix_ns)
		i++;
	return i;
}

/* Adds the changes of one tick. Wrapping: the input may be anything. */
static void replay(const struct tick_data *d, int64_t (*value)[RECORD_VALUES])
{
	struct record_cursor c = {.at = d->changes, .end = d->end};
	uint64_t n = record__get(&c), at = 0;

	for (uint64_t i = 0; i < n; i++) {
		at += record__get(&c); /* read_tick has checked it */
		for (int v = 0; v < RECORD_VALUES; v++)
			value[at][v] = (int64_t)((uint64_t)value[at][v] +
						 (uint64_t)record__get_signed(&c));
	}
}

/* Adds what the ticks [from, to] say of sizes, lifetimes and ages. */
static int replay_hists(const struct record *r, size_t from, size_t to, unsigned ids,
			struct record_hists *h)
{
	int err = record_hists__reserve(h, r->dict->nsamples);

	for (size_t i = from; i <= to && !err; i++)
		for (unsigned id = 0; id < RECORD_SECTIONS && !err; id++)
			if (ids >> id & 1 && r->data[i].section[id].at)
				err = record_hists__add(h, id, r->data[i].section[id]);
	return err;
}

static int copy_profile_head(const struct record *r, size_t from, size_t to, struct profile *p)
{
	const struct tick_data *d = &r->data[to];
	const struct profile_text names[] = {{profile__text(r->dict, d->comm), &p->comm},
					     {profile__text(r->dict, d->cmdline), &p->cmdline}};
	int err = profile__set_heap_types(p, d->sample_bytes);

	err = err ? err : profile__strings(p, names, ARRAY_SIZE(names));
	p->pid = d->pid;
	p->period = d->period;
	p->sample_bytes = d->sample_bytes;
	p->time_ns = r->ticks[to].time_unix_ns;
	p->duration_ns = d->duration_ns;
	p->totals = r->ticks[to].totals;
	if (!err && r->ticks[to].lost)
		err = profile__loss(p, "events lost", r->ticks[to].lost, 0);
	if (from != SIZE_MAX) {
		const struct profile_totals *b = &r->ticks[from].totals;

		p->time_ns = r->ticks[from].time_unix_ns;
		p->duration_ns = r->ticks[to].time_unix_ns - r->ticks[from].time_unix_ns;
		p->totals.alloc_objects -= b->alloc_objects;
		p->totals.alloc_bytes -= b->alloc_bytes;
		p->totals.free_objects -= b->free_objects;
		p->totals.free_bytes -= b->free_bytes;
		p->totals.inuse_objects -= b->inuse_objects;
		p->totals.inuse_bytes -= b->inuse_bytes;
	}
	return err;
}

/* The dictionary's tables, numbers and all, into a profile of its own. */
static int copy_tables(const struct profile *d, struct profile *p, uint32_t *string)
{
	struct profile_adder a = {p, 0};

	for (size_t i = 0; i < d->nstrings; i++)
		string[i] = profile__add_string(&a, profile__text(d, i));
	for (size_t i = 0; i < d->nmappings && !a.err; i++) {
		struct profile_mapping m = d->mappings[i];

		m.file = string[m.file];
		m.build_id = string[m.build_id];
		profile__add_mapping(&a, &m);
	}
	for (size_t i = 0; i < d->nfunctions && !a.err; i++) {
		struct profile_function f = d->functions[i];

		f.name = string[f.name];
		f.system_name = string[f.system_name];
		f.file = string[f.file];
		profile__add_function(&a, &f);
	}
	for (size_t i = 0; i < d->nlocations && !a.err; i++) {
		const struct profile_location *l = &d->locations[i];

		profile__add_location(&a, l->mapping, l->address,
				      l->nlines ? d->lines + l->line0 : NULL, l->nlines);
	}
	return a.err;
}

/* Every stack is a sample, also those without values: verdicts name stacks by their number. */
static int copy_stacks(const struct profile *d, struct profile *p, const uint32_t *string,
		       const int64_t (*value)[RECORD_VALUES], const struct record_hists *h)
{
	cleanup_free struct profile_label *labels = NULL;
	size_t cap = 0;
	int err = 0;

	for (size_t i = 0; i < d->nsamples && !err; i++) {
		const struct profile_sample *s = &d->samples[i];

		err = array_reserve(labels, cap, (size_t)s->nlabels + 1);
		for (uint32_t k = 0; k < s->nlabels && !err; k++) {
			labels[k] = d->labels[s->label0 + k];
			labels[k].key = string[labels[k].key];
			labels[k].str = string[labels[k].str];
			labels[k].unit = string[labels[k].unit];
		}
		if (!err)
			err = profile__sample(p, s->nstack ? d->stack + s->stack0 : NULL, s->nstack,
					      value[i], labels, s->nlabels);
		if (!err && i < h->n && h->hist[i].mask)
			err = profile__hist(p, &h->hist[i]);
	}
	return err;
}

/* Whether the recording says anything of sizes and lifetimes: one from before they were in does
 * not. */
static bool has_hists(const struct record *r)
{
	for (size_t i = 0; i < r->nticks; i++)
		if (r->data[i].section[RECORD_TOTAL].at)
			return true;
	return false;
}

int record__profile(const struct record *r, size_t from, size_t to, struct profile **ret)
{
	int64_t(*value)[RECORD_VALUES] = NULL;
	cleanup_free uint32_t *string = NULL;
	struct record_hists hists = {0};
	struct profile *p = NULL;
	size_t first = from == SIZE_MAX ? 0 : from + 1;
	int err;

	if (to >= r->nticks || (from != SIZE_MAX && from >= to))
		return -EINVAL;
	value = calloc(r->dict->nsamples + 1, sizeof(*value));
	string = calloc(r->dict->nstrings + 1, sizeof(*string));
	err = value && string ? profile__new(&p) : -ENOMEM;
	/* changes after `from` alone make the difference */
	for (size_t i = first; i <= to && !err; i++)
		replay(&r->data[i], value);
	if (!err && has_hists(r))
		err = replay_hists(r, first, to, 1u << RECORD_HISTS | 1u << RECORD_TOTAL, &hists);
	err = err ? err : copy_profile_head(r, from, to, p);
	err = err ? err : copy_tables(r->dict, p, string);
	err = err ? err
		  : copy_stacks(r->dict, p, string, (const int64_t(*)[RECORD_VALUES])value, &hists);
	if (!err && has_hists(r))
		err = profile__hist_total(p, &hists.total);
	record_hists__clear(&hists);
	free(value);
	if (err)
		profile__free(p);
	else
		*ret = p;
	return err;
}

struct candidate {
	uint32_t stack;
	int64_t peak;
};

static int by_peak(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->peak != y->peak)
		return x->peak < y->peak ? 1 : -1;
	return (x->stack > y->stack) - (x->stack < y->stack);
}

static int worst_first(const void *a, const void *b)
{
	const struct trend *x = &((const struct record_verdict *)a)->trend;
	const struct trend *y = &((const struct record_verdict *)b)->trend;

	if (x->likely_leak != y->likely_leak)
		return x->likely_leak ? -1 : 1;
	if (x->early != y->early)
		return x->early ? -1 : 1;
	if (x->slope_bytes_s != y->slope_bytes_s)
		return x->slope_bytes_s < y->slope_bytes_s ? 1 : -1;
	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : 0;
}

void record__sort_verdicts(struct record_verdict *v, size_t n)
{
	qsort(v, n, sizeof(*v), worst_first);
}

static struct trend_point point_at(const struct record *r, size_t tick, const int64_t *v)
{
	return (struct trend_point){
		.t_s = (double)(r->ticks[tick].time_unix_ns - r->ticks[0].time_unix_ns) / 1e9,
		.bytes = (double)v[PROFILE_INUSE_SPACE],
		.allocs = (double)v[PROFILE_ALLOC_OBJECTS],
		.frees = (double)v[PROFILE_ALLOC_OBJECTS] - (double)v[PROFILE_INUSE_OBJECTS]};
}

int record__verdicts(const struct record *r, size_t from, size_t to, size_t max,
		     double leak_after_s, struct record_verdict **ret, size_t *ret_n)
{
	size_t n = r->dict->nsamples;
	int64_t(*value)[RECORD_VALUES] = calloc(n + 1, sizeof(*value));
	cleanup_free struct candidate *c = calloc(n + 1, sizeof(*c));
	struct trend_series *series = NULL;
	struct record_hists hists = {0};
	struct record_verdict *out = NULL;
	int err = value && c ? 0 : -ENOMEM;

	if (to >= r->nticks || from > to)
		err = err ? err : -EINVAL;
	for (size_t i = 0; i < n && !err; i++)
		c[i].stack = i;
	for (size_t i = 0; i <= to && !err; i++) {
		replay(&r->data[i], value);
		for (size_t k = 0; k < n && i >= from; k++)
			c[k].peak = max_of(c[k].peak, value[k][PROFILE_INUSE_SPACE]);
	}
	max = err ? 0 : top_n__sort(c, n, sizeof(*c), max, by_peak);
	while (!err && max && c[max - 1].peak <= 0)
		max--;
	if (!err) {
		series = calloc(max + 1, sizeof(*series));
		out = calloc(max + 1, sizeof(*out));
		err = series && out ? 0 : -ENOMEM;
	}
	if (!err)
		memset(value, 0, (n + 1) * sizeof(*value));
	for (size_t i = 0; i <= to && !err; i++) {
		replay(&r->data[i], value);
		for (size_t k = 0; k < max && i >= from; k++)
			trend_series__add(&series[k], point_at(r, i, value[c[k].stack]));
	}
	if (!err && r->data[to].section[RECORD_AGES].at)
		err = replay_hists(r, 0, to, 1u << RECORD_AGES, &hists);
	for (size_t k = 0; k < max && !err; k++) {
		const struct hist_ages *ages = c[k].stack < hists.n ? hists.ages[c[k].stack] : NULL;
		struct trend_cohort cohort[HIST_AGES];

		out[k].sample = c[k].stack;
		err = trend__judge(series[k].p, series[k].n, cohort,
				   ages ? hist_ages__cohorts(ages, hists.ages_ms, cohort) : 0,
				   leak_after_s, &out[k].trend);
	}
	record_hists__clear(&hists);
	if (!err) {
		record__sort_verdicts(out, max);
		*ret = take_ptr(out);
		*ret_n = max;
	}
	free(value);
	free(series);
	free(out);
	return err;
}
