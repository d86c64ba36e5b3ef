/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/watch.h"

#include "core/keyhash.h"
#include "core/util.h"

#include <string.h>

#define SERIES_SHARE 2000 /* a stack worth 1/2000 of the bytes in use gets a series */

void watch__clear(struct watch *w)
{
	for (size_t i = 0; i < w->nseries; i++)
		free(w->series[i]);
	free(w->series);
	free(w->entries);
	hash_index__fini(&w->index);
	*w = (struct watch){.leak_after_s = w->leak_after_s};
}

void watch__begin(struct watch *w, double t_s)
{
	if (!w->tick)
		watch__tick(w, t_s);
}

void watch__tick(struct watch *w, double t_s)
{
	w->tick++;
	w->before_s = w->now_s;
	w->now_s = t_s;
}

struct watch_entry *watch__find(const struct watch *w, uint64_t key)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&w->index, keyhash__word(key), &at, &i))
		if (w->entries[i].key == key)
			return &w->entries[i];
	return NULL;
}

static struct watch_entry *add_entry(struct watch *w, uint64_t key)
{
	if (w->n >= WATCH_MAX_ENTRIES || hash_index__reserve(&w->index) ||
	    array_reserve(w->entries, w->cap, w->n + 1)) {
		w->dropped++;
		return NULL;
	}
	w->entries[w->n++] = (struct watch_entry){.key = key};
	hash_index__add(&w->index, keyhash__word(key));
	return &w->entries[w->n - 1];
}

/* A series that starts: the stack was seen before with little in it, or it is new and held
 * nothing at the snapshot before. Either way the growth until now belongs to it. */
static void start_series(struct watch *w, struct watch_entry *e)
{
	struct trend_series *s;

	if (w->nseries >= WATCH_MAX_SERIES ||
	    array_reserve(w->series, w->series_cap, w->nseries + 1))
		return;
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	w->series[w->nseries] = s;
	e->series = ++w->nseries;
	if (w->tick > 1)
		trend_series__add(
			s, (struct trend_point){w->before_s, (double)e->before[PROFILE_INUSE_SPACE],
						(double)e->before[PROFILE_ALLOC_OBJECTS],
						(double)(e->before[PROFILE_ALLOC_OBJECTS] -
							 e->before[PROFILE_INUSE_OBJECTS])});
}

static struct trend_point point_of(const struct watch *w, const struct watch_entry *e)
{
	return (struct trend_point){
		w->now_s, (double)e->now[PROFILE_INUSE_SPACE],
		(double)e->now[PROFILE_ALLOC_OBJECTS],
		(double)(e->now[PROFILE_ALLOC_OBJECTS] - e->now[PROFILE_INUSE_OBJECTS])};
}

struct watch_entry *watch__put(struct watch *w, uint64_t key, const int64_t v[WATCH_VALUES],
			       bool with_series)
{
	struct watch_entry *e = watch__find(w, key);

	if (!e)
		e = add_entry(w, key);
	if (!e)
		return NULL;
	if (e->seen == w->tick) { /* the same stack again: another label that tells nothing apart */
		for (int i = 0; i < WATCH_VALUES; i++)
			e->now[i] += v[i];
		if (e->series) {
			struct trend_series *ts = w->series[e->series - 1];

			ts->p[ts->n - 1] = point_of(w, e);
		}
		return e;
	}
	memcpy(e->before, e->now, sizeof(e->before));
	memcpy(e->now, v, sizeof(e->now));
	e->seen = w->tick;
	if (with_series && !e->series)
		start_series(w, e);
	if (e->series)
		trend_series__add(w->series[e->series - 1], point_of(w, e));
	return e;
}

double watch__rate(const struct watch *w, const struct watch_entry *e, int type)
{
	double dt = w->now_s - w->before_s;

	return w->tick > 1 && dt > 0 ? (double)(e->now[type] - e->before[type]) / dt : 0;
}

void watch__trend(const struct watch *w, const struct watch_entry *e, struct trend *ret)
{
	const struct trend_series *s = e->series ? w->series[e->series - 1] : NULL;

	trend__judge(s ? s->p : NULL, s ? s->n : 0, s ? s->cohort : NULL, s ? s->ncohorts : 0,
		     w->leak_after_s, ret);
	if (!s)
		ret->bytes = (double)e->now[PROFILE_INUSE_SPACE];
}

void watch__mark(struct watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		memcpy(w->entries[i].mark, w->entries[i].now, sizeof(w->entries[i].mark));
	w->marked = true;
}

static uint64_t hash_text(const char *text)
{
	return keyhash__bytes(text, strlen(text));
}

static uint64_t location_key(const struct profile *p, const struct profile_location *l)
{
	uint64_t h = keyhash__word(l->address);

	if (l->mapping < p->nmappings) {
		const struct profile_mapping *m = &p->mappings[l->mapping];

		/* a module moves with each start of the process: its offset does not */
		h = keyhash__words(l->address - m->start + m->offset,
				   hash_text(profile__text(p, m->file)));
	} else if (l->nlines) {
		const struct profile_line *line = &p->lines[l->line0];

		if (line->function < p->nfunctions)
			h = keyhash__words(
				h, hash_text(profile__text(p, p->functions[line->function].name)));
	}
	return h;
}

int watch__stack_keys(const struct profile *p, uint64_t *keys)
{
	cleanup_free uint64_t *loc = calloc(p->nlocations + 1, sizeof(*loc));

	if (!loc)
		return -ENOMEM;
	for (size_t i = 0; i < p->nlocations; i++)
		loc[i] = location_key(p, &p->locations[i]);
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		uint64_t h = 0x9e3779b97f4a7c15ULL;

		for (uint32_t k = 0; k < s->nstack; k++)
			if (p->stack[s->stack0 + k] < p->nlocations)
				h = keyhash__words(h, loc[p->stack[s->stack0 + k]]);
		for (uint32_t k = 0; k < s->nlabels; k++) {
			const struct profile_label *l = &p->labels[s->label0 + k];

			if (l->str)
				h = keyhash__words(h, hash_text(profile__text(p, l->str)));
		}
		keys[i] = h;
	}
	return 0;
}

/* The ages of a stack's blocks, if it is in this snapshot once. */
static void put_ages(struct watch *w, const struct watch_entry *e, const struct profile_ages *a,
		     uint32_t now_ms, bool again)
{
	struct trend_series *s;

	if (!e || !e->series)
		return;
	s = w->series[e->series - 1];
	s->ncohorts = again || !a ? 0 : hist_ages__cohorts(&a->ages, now_ms, s->cohort);
}

int watch__profile(struct watch *w, const struct profile *p, double t_s)
{
	cleanup_free uint64_t *keys = malloc((p->nsamples + 1) * sizeof(*keys));
	int64_t total = 0;
	int err = keys ? watch__stack_keys(p, keys) : -ENOMEM;

	if (err || p->nvalues < WATCH_VALUES)
		return err;
	for (size_t i = 0; i < p->nsamples; i++)
		util__add(&total, max_of(p->samples[i].value[PROFILE_INUSE_SPACE], (int64_t)0));
	watch__tick(w, t_s);
	for (size_t i = 0, k = 0; i < p->nsamples; i++) {
		struct watch_entry *e = watch__find(w, keys[i]);
		bool again = e && e->seen == w->tick;

		e = watch__put(w, keys[i], p->samples[i].value,
			       p->samples[i].value[PROFILE_INUSE_SPACE] > total / SERIES_SHARE);
		while (k < p->nages && p->ages[k].sample < i)
			k++;
		put_ages(w, e, k < p->nages && p->ages[k].sample == i ? &p->ages[k] : NULL,
			 p->ages_ms, again);
	}
	return 0;
}
