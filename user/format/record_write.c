/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record_write.c - see record.h. The dictionary is itself a struct profile that only grows: what
 * was added to its arrays since the tick before is what a block carries.
 */
#include "format/record.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "format/record_format.h"
#include "format/record_hist.h"
#include "sys/outstream.h"

#include <string.h>
#include <zlib.h>

struct stack_state {
	int64_t value[RECORD_VALUES];
	uint32_t sample; /* in the dictionary, of which samples are the stacks */
};

struct record_writer {
	record_write_fn write;
	void *arg;
	struct outstream *file; /* of record_writer__open */
	struct profile *dict;
	struct stack_state *stacks; /* one for each sample of dict */
	size_t nstacks, stacks_cap;
	struct hash_index index; /* stacks */
	/* how much of dict is in the file */
	size_t strings, mappings, functions, locations, samples;
	struct record_bytes out;
	struct record_hists hists;
};

int record_writer__new(record_write_fn write, void *arg, struct record_writer **ret)
{
	struct record_writer *w = calloc(1, sizeof(*w));
	int err = w ? profile__new(&w->dict) : -ENOMEM;

	if (!err) {
		w->write = write;
		w->arg = arg;
		w->strings = 1; /* "" is there in every profile */
		err = write(arg, RECORD_MAGIC, sizeof(RECORD_MAGIC));
	}
	if (err) {
		record_writer__close(w);
		return err;
	}
	*ret = w;
	return 0;
}

static int write_file(void *arg, const void *data, size_t len)
{
	return outstream__add(arg, data, len);
}

int record_writer__open(const char *path, struct record_writer **ret)
{
	struct outstream *file;
	int err = outstream__create(path, &file);

	if (err)
		return err;
	err = record_writer__new(write_file, file, ret);
	if (err)
		outstream__finish(file);
	else
		(*ret)->file = file;
	return err;
}

int record_writer__close(struct record_writer *w)
{
	int err;

	if (!w)
		return 0;
	err = outstream__finish(w->file);
	profile__free(w->dict);
	free(w->stacks);
	hash_index__fini(&w->index);
	free(w->out.data);
	record_hists__clear(&w->hists);
	free(w);
	return err;
}

/* --- from the snapshot into the dictionary --- */

static uint32_t copy_text(struct profile_adder *a, const struct profile *p, uint32_t id)
{
	return profile__add_string(a, profile__text(p, id));
}

static uint32_t copy_function(struct profile_adder *a, const struct profile *p, uint32_t id)
{
	struct profile_function f = p->functions[id];

	f.name = copy_text(a, p, f.name);
	f.system_name = copy_text(a, p, f.system_name);
	f.file = copy_text(a, p, f.file);
	return profile__add_function(a, &f);
}

static uint32_t copy_mapping(struct profile_adder *a, const struct profile *p, uint32_t id)
{
	struct profile_mapping m;

	if (id >= p->nmappings)
		return PROFILE_NONE;
	m = p->mappings[id];
	m.file = copy_text(a, p, m.file);
	m.build_id = copy_text(a, p, m.build_id);
	return profile__add_mapping(a, &m);
}

static int copy_location(struct record_writer *w, const struct profile *p,
			 const struct profile_location *l, uint32_t *ret)
{
	cleanup_free struct profile_line *lines = calloc(l->nlines + 1, sizeof(*lines));
	struct profile_adder a = {w->dict, lines ? 0 : -ENOMEM};
	uint32_t mapping = copy_mapping(&a, p, l->mapping);

	if (a.err)
		return a.err;
	/* known already: its lines need no second look */
	if (l->address && profile__find_location(w->dict, mapping, l->address, ret))
		return 0;
	for (uint32_t i = 0; i < l->nlines; i++) {
		lines[i] = p->lines[l->line0 + i];
		if (lines[i].function >= p->nfunctions)
			return -EINVAL;
		lines[i].function = copy_function(&a, p, lines[i].function);
	}
	*ret = profile__add_location(&a, mapping, l->address, lines, l->nlines);
	return a.err;
}

static uint64_t stack_hash(const uint32_t *loc, size_t n, const struct profile_label *l, size_t nl)
{
	uint64_t h = keyhash__bytes(loc, n * sizeof(*loc));

	for (size_t i = 0; i < nl; i++)
		h = keyhash__words(h, (uint64_t)l[i].key << 32 | l[i].str, (uint64_t)l[i].num);
	return h;
}

static bool same_stack(const struct profile *d, const struct profile_sample *s, const uint32_t *loc,
		       size_t n, const struct profile_label *l, size_t nl)
{
	if (s->nstack != n || s->nlabels != nl ||
	    (n && memcmp(d->stack + s->stack0, loc, n * sizeof(*loc))))
		return false;
	for (size_t i = 0; i < nl; i++) {
		const struct profile_label *m = &d->labels[s->label0 + i];

		if (m->key != l[i].key || m->str != l[i].str || m->num != l[i].num)
			return false;
	}
	return true;
}

/* The dictionary's number of a stack, which is added if it is new. */
static int intern_stack(struct record_writer *w, const uint32_t *loc, size_t n,
			const struct profile_label *l, size_t nl, uint32_t *ret)
{
	static const int64_t zero[PROFILE_MAX_VALUES];
	uint64_t h = stack_hash(loc, n, l, nl);
	size_t at = HASH_INDEX_START;
	int err;

	while (hash_index__next(&w->index, h, &at, ret)) {
		if (same_stack(w->dict, &w->dict->samples[w->stacks[*ret].sample], loc, n, l, nl))
			return 0;
	}
	err = hash_index__reserve(&w->index);
	if (!err)
		err = array_reserve(w->stacks, w->stacks_cap, w->nstacks + 1);
	if (!err)
		err = profile__sample(w->dict, loc, n, zero, l, nl);
	if (err)
		return err;
	w->stacks[w->nstacks] = (struct stack_state){.sample = w->dict->nsamples - 1};
	*ret = w->nstacks++;
	hash_index__add(&w->index, h);
	return 0;
}

/* --- from the dictionary into a block --- */

static void put_dictionary(struct record_writer *w)
{
	const struct profile *d = w->dict;
	struct record_bytes *b = &w->out;

	record__put(b, d->nstrings - w->strings);
	for (; w->strings < d->nstrings; w->strings++) {
		const char *text = profile__text(d, w->strings);
		size_t len = strlen(text);

		record__put(b, len);
		record__put_raw(b, text, len);
	}
	record__put(b, d->nmappings - w->mappings);
	for (; w->mappings < d->nmappings; w->mappings++) {
		const struct profile_mapping *m = &d->mappings[w->mappings];

		record__put(b, m->start);
		record__put(b, m->limit);
		record__put(b, m->offset);
		record__put(b, m->file);
		record__put(b, m->build_id);
		record__put(b, m->has_functions | m->has_filenames << 1 | m->has_lines << 2 |
				       m->has_inlines << 3);
	}
	record__put(b, d->nfunctions - w->functions);
	for (; w->functions < d->nfunctions; w->functions++) {
		const struct profile_function *f = &d->functions[w->functions];

		record__put(b, f->name);
		record__put(b, f->system_name);
		record__put(b, f->file);
		record__put_signed(b, f->start_line);
	}
	record__put(b, d->nlocations - w->locations);
	for (; w->locations < d->nlocations; w->locations++) {
		const struct profile_location *l = &d->locations[w->locations];

		record__put(b, l->mapping == PROFILE_NONE ? 0 : (uint64_t)l->mapping + 1);
		record__put(b, l->address);
		record__put(b, l->nlines);
		for (uint32_t i = 0; i < l->nlines; i++) {
			record__put(b, d->lines[l->line0 + i].function);
			record__put_signed(b, d->lines[l->line0 + i].line);
			record__put_signed(b, d->lines[l->line0 + i].column);
		}
	}
	record__put(b, d->nsamples - w->samples);
	for (; w->samples < d->nsamples; w->samples++) {
		const struct profile_sample *s = &d->samples[w->samples];

		record__put(b, s->nstack);
		for (uint32_t i = 0; i < s->nstack; i++)
			record__put(b, d->stack[s->stack0 + i]);
		record__put(b, s->nlabels);
		for (uint32_t i = 0; i < s->nlabels; i++) {
			const struct profile_label *l = &d->labels[s->label0 + i];

			record__put(b, l->key);
			record__put(b, l->str);
			record__put_signed(b, l->num);
			record__put(b, l->unit);
		}
	}
}

static void put_double(struct record_bytes *b, double v)
{
	record__put_raw(b, &v, sizeof(v));
}

static void put_tick(struct record_writer *w, const struct profile *p, const uint32_t ids[3],
		     int64_t rss, int64_t virt)
{
	struct record_bytes *b = &w->out;
	const double t[] = {p->totals.alloc_objects, p->totals.alloc_bytes,
			    p->totals.free_objects,  p->totals.free_bytes,
			    p->totals.inuse_objects, p->totals.inuse_bytes};
	uint64_t lost = 0;

	for (size_t i = 0; i < p->nlosses; i++)
		lost += p->losses[i].count;
	record__put_signed(b, p->time_ns ? p->time_ns : util__wall_ms() * 1000000);
	record__put_signed(b, p->duration_ns);
	record__put(b, p->pid);
	record__put(b, ids[0]);
	record__put(b, ids[1]);
	record__put(b, p->sample_bytes);
	record__put_signed(b, p->period);
	record__put_signed(b, rss);
	record__put_signed(b, virt);
	record__put(b, lost);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		put_double(b, t[i]);
}

/* Values of stacks: new holds one set per stack, zeros for those that are not in the snapshot. */
static void put_changes(struct record_writer *w, const int64_t (*now)[RECORD_VALUES])
{
	size_t changed = 0, before = 0;

	for (size_t i = 0; i < w->nstacks; i++)
		changed += memcmp(now[i], w->stacks[i].value, sizeof(now[i])) != 0;
	record__put(&w->out, changed);
	for (size_t i = 0; i < w->nstacks; i++) {
		if (!memcmp(now[i], w->stacks[i].value, sizeof(now[i])))
			continue;
		record__put(&w->out, i - before);
		before = i;
		for (int v = 0; v < RECORD_VALUES; v++)
			record__put_signed(&w->out, (int64_t)((uint64_t)now[i][v] -
							      (uint64_t)w->stacks[i].value[v]));
		memcpy(w->stacks[i].value, now[i], sizeof(now[i]));
	}
}

static int write_block(struct record_writer *w)
{
	struct record_block head = {
		.magic = RECORD_BLOCK_MAGIC,
		.length = w->out.n - sizeof(head),
		.crc = crc32(0, w->out.data + sizeof(head), w->out.n - sizeof(head))};

	if (w->out.err)
		return w->out.err;
	if (w->out.n - sizeof(head) > RECORD_MAX_BLOCK)
		return -E2BIG;
	memcpy(w->out.data, &head, sizeof(head));
	return w->write(w->arg, w->out.data, w->out.n);
}

/* The dictionary's stack of each sample of p, into id[]. */
static int intern_samples(struct record_writer *w, const struct profile *p, uint32_t *id)
{
	cleanup_free uint32_t *loc = malloc((p->nlocations + 1) * sizeof(*loc));
	cleanup_free uint32_t *stack = NULL;
	cleanup_free struct profile_label *labels = NULL;
	struct profile_adder a = {w->dict, 0};
	size_t stack_cap = 0, labels_cap = 0;
	int err = loc ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->nlocations && !err; i++)
		err = copy_location(w, p, &p->locations[i], &loc[i]);
	for (size_t i = 0; i < p->nsamples && !err; i++) {
		const struct profile_sample *s = &p->samples[i];

		err = array_reserve(stack, stack_cap, (size_t)s->nstack + 1);
		if (!err)
			err = array_reserve(labels, labels_cap, (size_t)s->nlabels + 1);
		for (uint32_t k = 0; k < s->nstack && !err; k++)
			stack[k] = loc[p->stack[s->stack0 + k]];
		for (uint32_t k = 0; k < s->nlabels && !err; k++) {
			labels[k] = p->labels[s->label0 + k];
			labels[k].key = copy_text(&a, p, labels[k].key);
			labels[k].str = copy_text(&a, p, labels[k].str);
			labels[k].unit = copy_text(&a, p, labels[k].unit);
		}
		if (!err)
			err = a.err;
		if (!err)
			err = intern_stack(w, stack, s->nstack, labels, s->nlabels, &id[i]);
	}
	return err;
}

int record_writer__add(struct record_writer *w, const struct profile *p, int64_t rss_bytes,
		       int64_t virt_bytes)
{
	cleanup_free uint32_t *id = malloc((p->nsamples + 1) * sizeof(*id));
	int64_t(*now)[RECORD_VALUES] = NULL;
	uint32_t names[3] = {0};
	static const struct record_block blank;
	struct profile_adder a = {w->dict, 0};
	int err = id ? 0 : -ENOMEM;

	if (!err && p->nvalues != RECORD_VALUES)
		return -EINVAL;
	if (!err)
		err = intern_samples(w, p, id);
	a.err = err;
	names[0] = copy_text(&a, p, p->comm);
	names[1] = copy_text(&a, p, p->cmdline);
	err = a.err;
	now = calloc(w->nstacks + 1, sizeof(*now));
	if (!err && !now)
		err = -ENOMEM;
	if (!err) {
		for (size_t i = 0; i < p->nsamples; i++)
			for (int v = 0; v < RECORD_VALUES; v++)
				now[id[i]][v] += p->samples[i].value[v];
		w->out.n = 0;
		w->out.err = 0;
		record__put_raw(&w->out, &blank, sizeof(blank));
		put_dictionary(w);
		put_tick(w, p, names, rss_bytes, virt_bytes);
		put_changes(w, (const int64_t(*)[RECORD_VALUES])now);
		record_hists__put(&w->hists, &w->out, p, id, w->nstacks);
		err = write_block(w);
	}
	free(now);
	return err;
}
