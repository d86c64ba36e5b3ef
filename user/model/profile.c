/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile.c - see profile.h. Elements live in plain arrays; open-addressing tables of u32 ids
 * beside them find duplicates. A table catches up with elements that a bulk reader appended to
 * the arrays directly, so readers that trust their input's own ids pay for no hashing.
 */
#include "model/profile.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "memwatch/allocators.h"

#include <string.h>

struct profile_index {
	struct hash_index strings, mappings, functions, locations;
};

typedef uint64_t (*hash_fn)(const struct profile *p, uint32_t id);

static uint64_t hash_string(const struct profile *p, uint32_t id)
{
	return keyhash__bytes(p->strings[id], strlen(p->strings[id]));
}

static uint64_t hash_mapping_key(const struct profile_mapping *m)
{
	return keyhash__words(m->start, m->limit, m->offset, (uint64_t)m->file << 32 | m->build_id);
}

static uint64_t hash_mapping(const struct profile *p, uint32_t id)
{
	return hash_mapping_key(&p->mappings[id]);
}

static uint64_t hash_function_key(const struct profile_function *f)
{
	return keyhash__words((uint64_t)f->name << 32 | f->system_name, f->file,
			      (uint64_t)f->start_line);
}

static uint64_t hash_function(const struct profile *p, uint32_t id)
{
	return hash_function_key(&p->functions[id]);
}

/* Without an address the lines are what tells locations apart (pseudo-frames, folded input). */
static uint64_t hash_location_key(uint32_t mapping, uint64_t address,
				  const struct profile_line *lines, size_t nlines)
{
	uint64_t h = keyhash__words(address, mapping);

	if (address)
		return h;
	for (size_t i = 0; i < nlines; i++)
		h = keyhash__words(h, lines[i].function, (uint64_t)lines[i].line);
	return h;
}

static uint64_t hash_location(const struct profile *p, uint32_t id)
{
	const struct profile_location *l = &p->locations[id];

	return hash_location_key(l->mapping, l->address, l->nlines ? p->lines + l->line0 : NULL,
				 l->nlines);
}

/* Every element up to n indexed, and room for one more. */
static int catch_up(struct hash_index *x, const struct profile *p, size_t n, hash_fn hash)
{
	int err = hash_index__reserve(x);

	while (!err && x->n < n) {
		hash_index__add(x, hash(p, x->n));
		err = hash_index__reserve(x);
	}
	return err;
}

int profile__new(struct profile **ret)
{
	struct profile *p = calloc(1, sizeof(*p));
	uint32_t empty;
	int err;

	if (!p)
		return -ENOMEM;
	p->index = calloc(1, sizeof(*p->index));
	err = p->index ? profile__string_n(p, "", 0, &empty) : -ENOMEM;
	if (err) {
		profile__free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void profile__free(struct profile *p)
{
	if (!p)
		return;
	if (p->index) {
		hash_index__fini(&p->index->strings);
		hash_index__fini(&p->index->mappings);
		hash_index__fini(&p->index->functions);
		hash_index__fini(&p->index->locations);
		free(p->index);
	}
	textstore__fini(&p->store);
	free(p->strings);
	free(p->mappings);
	free(p->functions);
	free(p->lines);
	free(p->locations);
	free(p->stack);
	free(p->labels);
	free(p->samples);
	free(p->comments);
	free(p->losses);
	profile__drop_hists(p);
	free(p->hists);
	free(p->ages);
	free(p->ledgers);
	free(p);
}

int profile__string(struct profile *p, const char *text, uint32_t *ret)
{
	return profile__string_n(p, text ? text : "", text ? strlen(text) : 0, ret);
}

int profile__strings(struct profile *p, const struct profile_text *t, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = profile__string(p, t[i].text, t[i].ret);
	return err;
}

int profile__string_n(struct profile *p, const char *text, size_t len, uint32_t *ret)
{
	struct hash_index *x = &p->index->strings;
	size_t at = HASH_INDEX_START;
	uint64_t hash;
	int err;

	/* Texts are C strings: what follows a NUL could not be read back. */
	len = strnlen(text, len);
	err = catch_up(x, p, p->nstrings, hash_string);
	if (err)
		return err;
	hash = keyhash__bytes(text, len);
	while (hash_index__next(x, hash, &at, ret)) {
		if (!strncmp(p->strings[*ret], text, len) && !p->strings[*ret][len])
			return 0;
	}
	if (p->nstrings >= PROFILE_MAX_ITEMS || len >= PROFILE_MAX_TEXT - p->strings_len)
		return -E2BIG;
	err = array_reserve(p->strings, p->strings_cap, p->nstrings + 1);
	if (err)
		return err;
	p->strings[p->nstrings] = textstore__add(&p->store, text, len);
	if (!p->strings[p->nstrings])
		return -ENOMEM;
	p->strings_len += len + 1;
	hash_index__add(x, hash);
	*ret = p->nstrings++;
	return 0;
}

int profile__mapping(struct profile *p, const struct profile_mapping *m, uint32_t *ret)
{
	struct hash_index *x = &p->index->mappings;
	size_t at = HASH_INDEX_START;
	uint64_t hash = hash_mapping_key(m);
	int err = catch_up(x, p, p->nmappings, hash_mapping);

	if (err)
		return err;
	while (hash_index__next(x, hash, &at, ret)) {
		const struct profile_mapping *o = &p->mappings[*ret];

		if (o->start == m->start && o->limit == m->limit && o->offset == m->offset &&
		    o->file == m->file && o->build_id == m->build_id)
			return 0;
	}
	if (p->nmappings >= PROFILE_MAX_ITEMS)
		return -E2BIG;
	err = array_reserve(p->mappings, p->mappings_cap, p->nmappings + 1);
	if (err)
		return err;
	p->mappings[p->nmappings] = *m;
	hash_index__add(x, hash);
	*ret = p->nmappings++;
	return 0;
}

int profile__function(struct profile *p, const struct profile_function *f, uint32_t *ret)
{
	struct hash_index *x = &p->index->functions;
	size_t at = HASH_INDEX_START;
	uint64_t hash = hash_function_key(f);
	int err = catch_up(x, p, p->nfunctions, hash_function);

	if (err)
		return err;
	while (hash_index__next(x, hash, &at, ret)) {
		const struct profile_function *o = &p->functions[*ret];

		if (o->name == f->name && o->system_name == f->system_name && o->file == f->file &&
		    o->start_line == f->start_line)
			return 0;
	}
	if (p->nfunctions >= PROFILE_MAX_ITEMS)
		return -E2BIG;
	err = array_reserve(p->functions, p->functions_cap, p->nfunctions + 1);
	if (err)
		return err;
	p->functions[p->nfunctions] = *f;
	hash_index__add(x, hash);
	*ret = p->nfunctions++;
	return 0;
}

static bool same_location(const struct profile *p, uint32_t id, uint32_t mapping, uint64_t address,
			  const struct profile_line *lines, size_t nlines)
{
	const struct profile_location *l = &p->locations[id];

	if (l->mapping != mapping || l->address != address)
		return false;
	if (address)
		return true;
	if (l->nlines != nlines)
		return false;
	for (size_t i = 0; i < nlines; i++) {
		const struct profile_line *o = &p->lines[l->line0 + i];

		if (o->function != lines[i].function || o->line != lines[i].line ||
		    o->column != lines[i].column)
			return false;
	}
	return true;
}

int profile__location(struct profile *p, uint32_t mapping, uint64_t address,
		      const struct profile_line *lines, size_t nlines, uint32_t *ret)
{
	struct hash_index *x = &p->index->locations;
	size_t at = HASH_INDEX_START;
	uint64_t hash = hash_location_key(mapping, address, lines, nlines);
	int err = catch_up(x, p, p->nlocations, hash_location);

	if (err)
		return err;
	while (hash_index__next(x, hash, &at, ret)) {
		if (same_location(p, *ret, mapping, address, lines, nlines))
			return 0;
	}
	if (p->nlocations >= PROFILE_MAX_ITEMS || nlines > PROFILE_MAX_ITEMS - p->nlines)
		return -E2BIG;
	err = array_reserve(p->locations, p->locations_cap, p->nlocations + 1);
	if (!err)
		err = array_reserve(p->lines, p->lines_cap, p->nlines + nlines);
	if (err)
		return err;
	p->locations[p->nlocations] = (struct profile_location){
		.mapping = mapping, .address = address, .line0 = p->nlines, .nlines = nlines};
	if (nlines)
		memcpy(p->lines + p->nlines, lines, nlines * sizeof(*lines));
	p->nlines += nlines;
	hash_index__add(x, hash);
	*ret = p->nlocations++;
	return 0;
}

bool profile__find_location(const struct profile *p, uint32_t mapping, uint64_t address,
			    uint32_t *ret)
{
	struct hash_index *x = &p->index->locations;
	size_t at = HASH_INDEX_START;

	if (!address || catch_up(x, p, p->nlocations, hash_location))
		return false;
	while (hash_index__next(x, hash_location_key(mapping, address, NULL, 0), &at, ret)) {
		if (p->locations[*ret].mapping == mapping && p->locations[*ret].address == address)
			return true;
	}
	return false;
}

int profile__pseudo_location(struct profile *p, const char *name, uint32_t *ret)
{
	struct profile_function f = {0};
	struct profile_line line = {0};
	int err = profile__string(p, name, &f.name);

	if (err)
		return err;
	f.system_name = f.name;
	err = profile__function(p, &f, &line.function);
	if (err)
		return err;
	return profile__location(p, PROFILE_NONE, 0, &line, 1, ret);
}

int profile__sample(struct profile *p, const uint32_t *locations, size_t n, const int64_t *values,
		    const struct profile_label *labels, size_t nlabels)
{
	struct profile_sample *s;
	int err;

	if (p->nsamples >= PROFILE_MAX_ITEMS || n > PROFILE_MAX_STACK - p->nstack ||
	    nlabels > PROFILE_MAX_ITEMS - p->nlabels)
		return -E2BIG;
	err = array_reserve(p->samples, p->samples_cap, p->nsamples + 1);
	if (!err)
		err = array_reserve(p->stack, p->stack_cap, p->nstack + n);
	if (!err && nlabels)
		err = array_reserve(p->labels, p->labels_cap, p->nlabels + nlabels);
	if (err)
		return err;
	s = &p->samples[p->nsamples++];
	*s = (struct profile_sample){
		.stack0 = p->nstack, .nstack = n, .label0 = p->nlabels, .nlabels = nlabels};
	if (p->nvalues)
		memcpy(s->value, values, p->nvalues * sizeof(*values));
	if (n)
		memcpy(p->stack + p->nstack, locations, n * sizeof(*locations));
	if (nlabels)
		memcpy(p->labels + p->nlabels, labels, nlabels * sizeof(*labels));
	p->nstack += n;
	p->nlabels += nlabels;
	return 0;
}

int profile__comment(struct profile *p, const char *text)
{
	uint32_t id;
	int err;

	if (p->ncomments >= PROFILE_MAX_ITEMS)
		return -E2BIG;
	err = profile__string(p, text, &id);
	if (!err)
		err = array_reserve(p->comments, p->comments_cap, p->ncomments + 1);
	if (!err)
		p->comments[p->ncomments++] = id;
	return err;
}

int profile__loss(struct profile *p, const char *cause, uint64_t count, uint64_t bytes)
{
	uint32_t id;
	int err = profile__string(p, cause, &id);

	if (err)
		return err;
	for (size_t i = 0; i < p->nlosses; i++) {
		if (p->losses[i].cause == id) {
			p->losses[i].count += count;
			p->losses[i].bytes += bytes;
			return 0;
		}
	}
	if (p->nlosses >= PROFILE_MAX_LOSSES)
		return -E2BIG;
	err = array_reserve(p->losses, p->losses_cap, p->nlosses + 1);
	if (!err)
		p->losses[p->nlosses++] =
			(struct profile_loss){.cause = id, .count = count, .bytes = bytes};
	return err;
}

int profile__ledger(struct profile *p, uint32_t pid, const char *comm, const struct ledger *l)
{
	uint32_t id;
	int err = p->nledgers < PROFILE_MAX_LEDGERS ? profile__string(p, comm, &id) : -E2BIG;

	err = err ? err : array_reserve(p->ledgers, p->ledgers_cap, p->nledgers + 1);
	if (!err)
		p->ledgers[p->nledgers++] =
			(struct profile_ledger){.pid = pid, .comm = id, .ledger = *l};
	return err;
}

int profile__hist(struct profile *p, const struct hist *h)
{
	struct profile_hist *to;
	int err;

	if (!p->nsamples)
		return -EINVAL;
	err = array_reserve(p->hists, p->hists_cap, p->nhists + 1);
	if (err)
		return err;
	to = &p->hists[p->nhists++];
	*to = (struct profile_hist){.sample = p->nsamples - 1};
	return hist__merge(&to->hist, h);
}

void profile__keep_samples(struct profile *p,
			   bool (*keep)(const struct profile *p, const struct profile_sample *s,
					void *arg),
			   void *arg)
{
	size_t n = 0, hist = 0, nhists = 0, age = 0, nages = 0;

	for (size_t i = 0; i < p->nsamples; i++) {
		bool stays = keep(p, &p->samples[i], arg);

		if (hist < p->nhists && p->hists[hist].sample == i) {
			if (stays) {
				p->hists[nhists] = p->hists[hist];
				p->hists[nhists++].sample = (uint32_t)n;
			} else {
				hist__clear(&p->hists[hist].hist);
			}
			hist++;
		}
		if (age < p->nages && p->ages[age].sample == i) {
			if (stays) {
				p->ages[nages] = p->ages[age];
				p->ages[nages++].sample = (uint32_t)n;
			}
			age++;
		}
		if (stays)
			p->samples[n++] = p->samples[i];
	}
	p->nsamples = n;
	p->nhists = nhists;
	p->nages = nages;
}

void profile__drop_hists(struct profile *p)
{
	for (size_t i = 0; i < p->nhists; i++)
		hist__clear(&p->hists[i].hist);
	p->nhists = 0;
	free(p->hist_total);
	p->hist_total = NULL;
}

int profile__ages(struct profile *p, const struct hist_ages *a)
{
	int err;

	if (!p->nsamples)
		return -EINVAL;
	err = array_reserve(p->ages, p->ages_cap, p->nages + 1);
	if (!err)
		p->ages[p->nages++] = (struct profile_ages){.sample = p->nsamples - 1, .ages = *a};
	return err;
}

int profile__hist_total(struct profile *p, const struct hist_total *t)
{
	if (!p->hist_total)
		p->hist_total = calloc(1, sizeof(*p->hist_total));
	if (!p->hist_total)
		return -ENOMEM;
	hist_total__merge(p->hist_total, t);
	return 0;
}

/* The first of n elements of `size` bytes, ascending by their sample, which they begin with. */
static const void *find_by_sample(const void *base, size_t n, size_t size, uint32_t sample)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (*(const uint32_t *)((const char *)base + mid * size) < sample)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == n)
		return NULL;
	base = (const char *)base + lo * size;
	return *(const uint32_t *)base == sample ? base : NULL;
}

const struct hist *profile__find_hist(const struct profile *p, uint32_t sample)
{
	const struct profile_hist *h = find_by_sample(p->hists, p->nhists, sizeof(*h), sample);

	return h ? &h->hist : NULL;
}

const struct hist_ages *profile__find_ages(const struct profile *p, uint32_t sample)
{
	const struct profile_ages *a = find_by_sample(p->ages, p->nages, sizeof(*a), sample);

	return a ? &a->ages : NULL;
}

const char *profile__text(const struct profile *p, uint32_t id)
{
	return id < p->nstrings ? p->strings[id] : "";
}

int profile__find_type(const struct profile *p, const char *name)
{
	if (!p->nvalues)
		return -ENOENT;
	if (!name || !*name) {
		for (size_t i = 0; p->default_sample_type && i < p->nvalues; i++) {
			if (p->sample_type[i].type == p->default_sample_type)
				return i;
		}
		return p->nvalues - 1;
	}
	for (size_t i = 0; i < p->nvalues; i++) {
		if (!strcmp(profile__text(p, p->sample_type[i].type), name))
			return i;
	}
	if (strncmp(name, "inuse_", 6))
		return -ENOENT;
	for (size_t i = 0; i < p->nvalues; i++) {
		if (!strcmp(profile__text(p, p->sample_type[i].type), name + 6))
			return i;
	}
	return -ENOENT;
}

/* Frames of allocators, which pprof and report leave out below the code that called them. */
static const char alloc_frames[] = MW_ALLOC_FRAMES;

/* In Go's order; indices as the PROFILE_* names. */
static const char *const heap_types[][2] = {{"alloc_objects", "count"},
					    {"alloc_space", "bytes"},
					    {"inuse_objects", "count"},
					    {"inuse_space", "bytes"}};

int profile__heap_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(heap_types); i++) {
		if (!strcmp(name, heap_types[i][0]))
			return i;
	}
	return -ENOENT;
}

const char *profile__heap_type_name(int type)
{
	return heap_types[type][0];
}

bool profile__is_heap(const struct profile *p)
{
	if (p->nvalues < ARRAY_SIZE(heap_types))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(heap_types); i++) {
		if (strcmp(profile__text(p, p->sample_type[i].type), heap_types[i][0]))
			return false;
	}
	return true;
}

int profile__add_resident_type(struct profile *p)
{
	struct profile_value_type *t = &p->sample_type[PROFILE_RESIDENT_SPACE];
	int err = profile__string(p, "resident_space", &t->type);

	if (!err)
		err = profile__string(p, "bytes", &t->unit);
	if (!err)
		p->nvalues = PROFILE_RESIDENT_SPACE + 1;
	return err;
}

int profile__resident_type(const struct profile *p)
{
	return profile__is_heap(p) ? profile__find_type(p, "resident_space") : -ENOENT;
}

int profile__set_heap_types(struct profile *p, uint64_t sample_bytes)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(heap_types) && !err; i++) {
		err = profile__string(p, heap_types[i][0], &p->sample_type[i].type);
		if (!err)
			err = profile__string(p, heap_types[i][1], &p->sample_type[i].unit);
	}
	if (!err)
		err = profile__string(p, "space", &p->period_type.type);
	if (!err)
		err = profile__string(p, "bytes", &p->period_type.unit);
	if (!err)
		err = profile__string(p, alloc_frames, &p->drop_frames);
	if (err)
		return err;
	p->nvalues = ARRAY_SIZE(heap_types);
	p->default_sample_type = p->sample_type[PROFILE_INUSE_SPACE].type;
	p->sample_bytes = sample_bytes;
	p->period = sample_bytes ? (int64_t)sample_bytes : 1;
	return 0;
}

int64_t profile__sum(const struct profile *p, int type)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->nsamples; i++)
		util__add(&sum, p->samples[i].value[type]);
	return sum;
}
