/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/profile_packed.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define MAGIC 0x314b5050u			      /* "PPK1" */
#define MAX_SAMPLE_LABELS (PROFILE_PACKED_LABELS / 2) /* of its own */
#define HAS_FUNCTIONS 1u
#define HAS_FILENAMES 2u
#define HAS_LINES 4u
#define HAS_INLINES 8u

/* Behind it follow, aligned to 8 bytes each: the offsets of the strings, mappings, functions,
 * lines, locations, labels, samples, the stacks' entries, the strings' text. */
struct packed_head {
	uint32_t magic, nvalues;
	uint64_t text_bytes;
	uint32_t nstrings, nmappings, nfunctions, nlines, nlocations, nlabels, nsamples, nstack;
	struct profile_totals totals;
};

struct packed_mapping {
	uint64_t start, limit, offset;
	uint32_t file, build_id, has, pad;
};

struct packed_location {
	uint64_t address;
	uint32_t mapping, line0, nlines, pad;
};

/* Where the parts are; borrowed of the bytes. */
struct packed_parts {
	const struct packed_head *head;
	const uint64_t *string0;
	const struct packed_mapping *mappings;
	const struct profile_function *functions;
	const struct profile_line *lines;
	const struct packed_location *locations;
	const struct profile_label *labels;
	const struct profile_sample *samples;
	const uint32_t *stack;
	const char *text;
};

/* --- writing --- */

struct packing {
	int (*write)(void *arg, const void *data, size_t len);
	void *arg;
	int err;
};

static void put(struct packing *k, const void *data, size_t len)
{
	static const char zero[8];

	if (!k->err && len)
		k->err = k->write(k->arg, data, len);
	if (!k->err && len % 8)
		k->err = k->write(k->arg, zero, 8 - len % 8);
}

static uint64_t text_bytes(const struct profile *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->nstrings; i++)
		n += strlen(p->strings[i]) + 1;
	return n;
}

static int put_offsets(struct packing *k, const struct profile *p)
{
	cleanup_free uint64_t *at = malloc((p->nstrings + 1) * sizeof(*at));
	uint64_t n = 0;

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < p->nstrings; i++) {
		at[i] = n;
		n += strlen(p->strings[i]) + 1;
	}
	put(k, at, p->nstrings * sizeof(*at));
	return k->err;
}

static int put_text(struct packing *k, const struct profile *p, uint64_t bytes)
{
	cleanup_free char *text = malloc(bytes + 1);
	uint64_t n = 0;

	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < p->nstrings; i++) {
		size_t len = strlen(p->strings[i]) + 1;

		memcpy(text + n, p->strings[i], len);
		n += len;
	}
	put(k, text, bytes);
	return k->err;
}

static int put_mappings(struct packing *k, const struct profile *p)
{
	cleanup_free struct packed_mapping *m = calloc(p->nmappings + 1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	for (size_t i = 0; i < p->nmappings; i++) {
		const struct profile_mapping *of = &p->mappings[i];

		m[i].start = of->start;
		m[i].limit = of->limit;
		m[i].offset = of->offset;
		m[i].file = of->file;
		m[i].build_id = of->build_id;
		m[i].has = (of->has_functions ? HAS_FUNCTIONS : 0) |
			   (of->has_filenames ? HAS_FILENAMES : 0) |
			   (of->has_lines ? HAS_LINES : 0) | (of->has_inlines ? HAS_INLINES : 0);
	}
	put(k, m, p->nmappings * sizeof(*m));
	return k->err;
}

static int put_locations(struct packing *k, const struct profile *p)
{
	cleanup_free struct packed_location *l = calloc(p->nlocations + 1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	for (size_t i = 0; i < p->nlocations; i++) {
		const struct profile_location *of = &p->locations[i];

		l[i].address = of->address;
		l[i].mapping = of->mapping;
		l[i].line0 = of->line0;
		l[i].nlines = of->nlines;
	}
	put(k, l, p->nlocations * sizeof(*l));
	return k->err;
}

int profile_packed__write(const struct profile *p,
			  int (*write)(void *arg, const void *data, size_t len), void *arg)
{
	struct packing k = {.write = write, .arg = arg};
	const struct packed_head h = {
		.magic = MAGIC,
		.nvalues = (uint32_t)p->nvalues,
		.text_bytes = text_bytes(p),
		.nstrings = (uint32_t)p->nstrings,
		.nmappings = (uint32_t)p->nmappings,
		.nfunctions = (uint32_t)p->nfunctions,
		.nlines = (uint32_t)p->nlines,
		.nlocations = (uint32_t)p->nlocations,
		.nlabels = (uint32_t)p->nlabels,
		.nsamples = (uint32_t)p->nsamples,
		.nstack = (uint32_t)p->nstack,
		.totals = p->totals,
	};

	put(&k, &h, sizeof(h));
	if (!k.err)
		k.err = put_offsets(&k, p);
	if (!k.err)
		k.err = put_mappings(&k, p);
	put(&k, p->functions, p->nfunctions * sizeof(*p->functions));
	put(&k, p->lines, p->nlines * sizeof(*p->lines));
	if (!k.err)
		k.err = put_locations(&k, p);
	put(&k, p->labels, p->nlabels * sizeof(*p->labels));
	put(&k, p->samples, p->nsamples * sizeof(*p->samples));
	put(&k, p->stack, p->nstack * sizeof(*p->stack));
	if (!k.err)
		k.err = put_text(&k, p, h.text_bytes);
	return k.err;
}

/* --- reading --- */

struct cutting { /* what is left of the bytes */
	const char *at;
	uint64_t left;
	bool short_of;
};

static const void *cut(struct cutting *c, uint64_t n, size_t size)
{
	uint64_t bytes = (n * size + 7) & ~7ULL; /* n is 32 bits wide, or checked */
	const char *at = c->at;

	if (bytes > c->left) {
		c->short_of = true;
		return NULL;
	}
	c->at += bytes;
	c->left -= bytes;
	return at;
}

/* Finds the parts. False: the lengths do not add up. */
static bool find_parts(const void *data, size_t len, struct packed_parts *ret)
{
	struct cutting c = {.at = data, .left = len};
	const struct packed_head *h = cut(&c, 1, sizeof(*h));

	if (!h || h->magic != MAGIC || h->text_bytes > len || h->nvalues > PROFILE_MAX_VALUES)
		return false;
	*ret = (struct packed_parts){
		.head = h,
		.string0 = cut(&c, h->nstrings, sizeof(*ret->string0)),
		.mappings = cut(&c, h->nmappings, sizeof(*ret->mappings)),
		.functions = cut(&c, h->nfunctions, sizeof(*ret->functions)),
		.lines = cut(&c, h->nlines, sizeof(*ret->lines)),
		.locations = cut(&c, h->nlocations, sizeof(*ret->locations)),
		.labels = cut(&c, h->nlabels, sizeof(*ret->labels)),
		.samples = cut(&c, h->nsamples, sizeof(*ret->samples)),
		.stack = cut(&c, h->nstack, sizeof(*ret->stack)),
		.text = cut(&c, h->text_bytes, 1),
	};
	return !c.short_of && !c.left;
}

/* [first, first + n) lies below max. */
static bool within(uint32_t first, uint32_t n, uint32_t max)
{
	return first <= max && n <= max - first;
}

static bool strings_hold(const struct packed_parts *p)
{
	uint64_t bytes = p->head->text_bytes;

	if (!p->head->nstrings || !bytes || p->text[bytes - 1])
		return false;
	for (uint32_t i = 0; i < p->head->nstrings; i++) { /* one behind the other */
		uint64_t at = p->string0[i];

		if (at >= bytes || (i ? at <= p->string0[i - 1] || p->text[at - 1] : at))
			return false;
	}
	return true;
}

static bool code_holds(const struct packed_parts *p)
{
	const struct packed_head *h = p->head;
	uint64_t lines = 0;

	for (uint32_t i = 0; i < h->nmappings; i++) {
		const struct packed_mapping *m = &p->mappings[i];

		if (m->file >= h->nstrings || m->build_id >= h->nstrings || m->start > m->limit)
			return false;
	}
	for (uint32_t i = 0; i < h->nfunctions; i++) {
		const struct profile_function *f = &p->functions[i];

		if (f->name >= h->nstrings || f->system_name >= h->nstrings ||
		    f->file >= h->nstrings)
			return false;
	}
	for (uint32_t i = 0; i < h->nlines; i++) {
		if (p->lines[i].function >= h->nfunctions)
			return false;
	}
	for (uint32_t i = 0; i < h->nlocations; i++) {
		const struct packed_location *l = &p->locations[i];

		if ((l->mapping != PROFILE_NONE && l->mapping >= h->nmappings) ||
		    !within(l->line0, l->nlines, h->nlines))
			return false;
		lines += l->nlines;
	}
	return lines <= h->nlines; /* nothing is said twice, and so becomes more */
}

static bool totals_hold(const struct profile_totals *t)
{
	return isfinite(t->alloc_objects) && isfinite(t->alloc_bytes) &&
	       isfinite(t->free_objects) && isfinite(t->free_bytes) && isfinite(t->inuse_objects) &&
	       isfinite(t->inuse_bytes);
}

static bool samples_hold(const struct packed_parts *p)
{
	const struct packed_head *h = p->head;
	uint64_t stack = 0, labels = 0;

	for (uint32_t i = 0; i < h->nlabels; i++) {
		const struct profile_label *l = &p->labels[i];

		if (l->key >= h->nstrings || l->str >= h->nstrings || l->unit >= h->nstrings)
			return false;
	}
	for (uint32_t i = 0; i < h->nstack; i++) {
		if (p->stack[i] >= h->nlocations)
			return false;
	}
	for (uint32_t i = 0; i < h->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];

		if (!within(s->stack0, s->nstack, h->nstack) ||
		    !within(s->label0, s->nlabels, h->nlabels) || s->nlabels > MAX_SAMPLE_LABELS)
			return false;
		stack += s->nstack;
		labels += s->nlabels;
	}
	return stack <= h->nstack && labels <= h->nlabels;
}

int profile_packed__check(const void *data, size_t len)
{
	struct packed_parts p;

	return find_parts(data, len, &p) && strings_hold(&p) && code_holds(&p) &&
			       samples_hold(&p) && totals_hold(&p.head->totals)
		       ? 0
		       : -EBADMSG;
}

/* --- adding; ids of the bytes become ids of the profile --- */

struct packed_adding {
	struct packed_parts from;
	struct profile_adder to;			  /* all is left from an error on */
	uint32_t *string, *mapping, *function, *location; /* PROFILE_NONE: not yet there */
	uint32_t *stack;				  /* of one sample */
	struct profile_line *lines;			  /* of one location */
};

static uint32_t add_string(struct packed_adding *a, uint32_t i)
{
	if (a->string[i] == PROFILE_NONE)
		a->string[i] = profile__add_string(&a->to, a->from.text + a->from.string0[i]);
	return a->string[i];
}

static uint32_t add_mapping(struct packed_adding *a, uint32_t i)
{
	const struct packed_mapping *m = &a->from.mappings[i];
	struct profile_mapping to = {
		.start = m->start,
		.limit = m->limit,
		.offset = m->offset,
		.has_functions = m->has & HAS_FUNCTIONS,
		.has_filenames = m->has & HAS_FILENAMES,
		.has_lines = m->has & HAS_LINES,
		.has_inlines = m->has & HAS_INLINES,
	};

	if (a->mapping[i] == PROFILE_NONE) {
		to.file = add_string(a, m->file);
		to.build_id = add_string(a, m->build_id);
		a->mapping[i] = profile__add_mapping(&a->to, &to);
	}
	return a->mapping[i];
}

static uint32_t add_function(struct packed_adding *a, uint32_t i)
{
	struct profile_function f = a->from.functions[i];

	if (a->function[i] == PROFILE_NONE) {
		f.name = add_string(a, f.name);
		f.system_name = add_string(a, f.system_name);
		f.file = add_string(a, f.file);
		a->function[i] = profile__add_function(&a->to, &f);
	}
	return a->function[i];
}

static uint32_t add_location(struct packed_adding *a, uint32_t i)
{
	const struct packed_location *l = &a->from.locations[i];
	uint32_t mapping = PROFILE_NONE;

	if (a->location[i] == PROFILE_NONE) {
		if (l->mapping != PROFILE_NONE)
			mapping = add_mapping(a, l->mapping);
		for (uint32_t k = 0; k < l->nlines; k++) {
			a->lines[k] = a->from.lines[l->line0 + k];
			a->lines[k].function = add_function(a, a->lines[k].function);
		}
		a->location[i] =
			profile__add_location(&a->to, mapping, l->address, a->lines, l->nlines);
	}
	return a->location[i];
}

static int add_sample(struct packed_adding *a, const struct profile_sample *s,
		      const struct profile_label *more, size_t nmore)
{
	struct profile_label labels[MAX_SAMPLE_LABELS + PROFILE_PACKED_LABELS];
	size_t n = 0;

	for (uint32_t k = 0; k < s->nstack; k++)
		a->stack[k] = add_location(a, a->from.stack[s->stack0 + k]);
	for (uint32_t k = 0; k < s->nlabels; k++) {
		struct profile_label *l = &labels[n++];

		*l = a->from.labels[s->label0 + k];
		l->key = add_string(a, l->key);
		l->str = add_string(a, l->str);
		l->unit = add_string(a, l->unit);
	}
	for (size_t k = 0; k < nmore; k++)
		labels[n++] = more[k];
	if (a->to.err)
		return a->to.err;
	return profile__sample(a->to.p, a->stack, s->nstack, s->value, labels, n);
}

static void add_totals(struct profile_totals *to, const struct profile_totals *t)
{
	to->alloc_objects += t->alloc_objects;
	to->alloc_bytes += t->alloc_bytes;
	to->free_objects += t->free_objects;
	to->free_bytes += t->free_bytes;
	to->inuse_objects += t->inuse_objects;
	to->inuse_bytes += t->inuse_bytes;
}

/* One table of ids of all four kinds, and room for what one sample and one location need. */
static uint32_t *make_tables(struct packed_adding *a)
{
	const struct packed_head *h = a->from.head;
	size_t n = (size_t)h->nstrings + h->nmappings + h->nfunctions + h->nlocations;
	uint32_t *ids = malloc(n * sizeof(*ids));

	a->stack = malloc(((size_t)h->nstack + 1) * sizeof(*a->stack));
	a->lines = malloc(((size_t)h->nlines + 1) * sizeof(*a->lines));
	if (!ids || !a->stack || !a->lines) {
		free(ids);
		return NULL;
	}
	memset(ids, 0xff, n * sizeof(*ids));
	a->string = ids;
	a->mapping = a->string + h->nstrings;
	a->function = a->mapping + h->nmappings;
	a->location = a->function + h->nfunctions;
	return ids;
}

int profile_packed__add(const void *data, size_t len, struct profile *p,
			const struct profile_label *labels, size_t nlabels)
{
	struct packed_adding a = {.to.p = p};
	uint32_t *ids = NULL;
	int err = 0;

	if (!find_parts(data, len, &a.from) || a.from.head->nvalues != p->nvalues ||
	    nlabels > PROFILE_PACKED_LABELS)
		return -EBADMSG;
	ids = make_tables(&a);
	err = ids ? 0 : -ENOMEM;
	for (uint32_t i = 0; !err && i < a.from.head->nsamples; i++)
		err = add_sample(&a, &a.from.samples[i], labels, nlabels);
	if (!err)
		add_totals(&p->totals, &a.from.head->totals);
	free(a.stack);
	free(a.lines);
	free(ids);
	return err;
}
