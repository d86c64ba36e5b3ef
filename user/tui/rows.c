/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rows.c - see rows.h. Frames are reduced to names once per location; a sample's functions are
 * then numbers, and a stamp per function keeps recursion from counting twice.
 */
#include "tui/rows.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "core/shortname.h"
#include "format/telling.h"
#include "format/text.h"

#include <string.h>

#define CHAIN_FRAMES 16 /* of a stack's label; the screen cuts it where it is narrower */
#define CHAIN_NAME 80

const char *const rows_sorts[ROWS_SORTS] = {"flat", "cum", "rate", "name"};

struct row_names { /* names of all frames of the profile, by (location, line) */
	struct rows *r;
	const struct profile *p;
	uint32_t *first; /* per location: index of its innermost frame in id[] */
	uint32_t *id;	 /* row of the frame's function */
	size_t nframes;
	struct hash_index index; /* rows by name */
};

void rows__clear(struct rows *r)
{
	for (size_t i = 0; i < r->nowned; i++)
		free(r->owned[i]);
	free(r->owned);
	free(r->row);
	memset(r, 0, sizeof(*r));
}

static uint64_t name_key(const char *name)
{
	return keyhash__bytes(name, strlen(name));
}

static int own(struct rows *r, char *text)
{
	int err = text ? array_reserve(r->owned, r->owned_cap, r->nowned + 1) : -ENOMEM;

	if (err)
		free(text);
	else
		r->owned[r->nowned++] = text;
	return err;
}

static const struct profile_function *function_at(const struct profile *p, uint32_t loc,
						  size_t line)
{
	const struct profile_location *l = &p->locations[loc];

	if (line >= l->nlines || p->lines[l->line0 + line].function >= p->nfunctions)
		return NULL;
	return &p->functions[p->lines[l->line0 + line].function];
}

/* Source file and line of a frame. */
static void place(struct row *row, const struct profile *p, uint32_t loc, size_t line)
{
	const struct profile_function *fn = function_at(p, loc, line);
	const char *file = fn ? profile__text(p, fn->file) : "", *slash = strrchr(file, '/');

	row->file = slash ? slash + 1 : file;
	row->line = fn ? p->lines[p->locations[loc].line0 + line].line : 0;
}

static int frame_name(struct row_names *n, uint32_t loc, size_t line, struct row *ret)
{
	const struct profile_function *fn = function_at(n->p, loc, line);
	char *text;
	int err;

	*ret = (struct row){.file = ""};
	if (fn && fn->name) {
		ret->name = profile__text(n->p, fn->name);
		return 0;
	}
	text = text__frame_name(n->p, loc, line);
	err = own(n->r, text);
	ret->name = text;
	return err;
}

static int intern(struct row_names *n, const struct row *r, uint32_t *ret)
{
	uint64_t key = name_key(r->name);
	size_t at = HASH_INDEX_START;
	int err;

	if (hash_index__next(&n->index, key, &at, ret))
		return 0; /* the hash is the key */
	err = hash_index__reserve(&n->index);
	if (!err)
		err = array_reserve(n->r->row, n->r->cap, n->r->n + 1);
	if (err)
		return err;
	n->r->row[n->r->n] = *r;
	n->r->row[n->r->n].key = key;
	*ret = n->r->n++;
	hash_index__add(&n->index, key);
	return 0;
}

static void names_free(struct row_names *n)
{
	free(n->first);
	free(n->id);
	hash_index__fini(&n->index);
}

static size_t frames_of(const struct profile_location *l)
{
	return l->nlines ? l->nlines : 1;
}

static int names_make(struct row_names *n, struct rows *r, const struct profile *p)
{
	size_t at = 0, total = 0;
	int err = 0;

	*n = (struct row_names){.r = r, .p = p};
	for (size_t i = 0; i < p->nlocations; i++)
		total += frames_of(&p->locations[i]);
	n->first = malloc((p->nlocations + 1) * sizeof(*n->first));
	n->id = malloc((total + 1) * sizeof(*n->id));
	if (!n->first || !n->id)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->nlocations && !err; i++) {
		n->first[i] = at;
		for (size_t k = 0; k < frames_of(&p->locations[i]) && !err; k++) {
			struct row row;

			err = frame_name(n, i, k, &row);
			if (!err)
				err = intern(n, &row, &n->id[at++]);
		}
	}
	return err;
}

static void add_values(int64_t to[WATCH_VALUES], const int64_t *v)
{
	for (int i = 0; i < WATCH_VALUES; i++)
		to[i] += v[i];
}

/* flat and cum of every function: rows are functions already, from names_make. */
static int sum_functions(struct row_names *n)
{
	const struct profile *p = n->p;
	struct row *row = n->r->row;
	cleanup_free uint32_t *stamp = calloc(n->r->n + 1, sizeof(*stamp));

	if (!stamp)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];

		for (uint32_t k = 0; k < s->nstack; k++) {
			uint32_t loc = p->stack[s->stack0 + k];

			for (size_t j = 0; j < frames_of(&p->locations[loc]); j++) {
				uint32_t id = n->id[n->first[loc] + j];

				if (!k && !j)
					add_values(row[id].flat, s->value);
				if (stamp[id] != i + 1)
					add_values(row[id].cum, s->value);
				stamp[id] = i + 1;
			}
		}
	}
	return 0;
}

/* Who calls the focus (or is called by it), with what flows between; rows keep their names. */
static int sum_neighbours(struct row_names *n, const char *focus, bool callers)
{
	const struct profile *p = n->p;
	struct row *row = n->r->row;
	uint64_t key = name_key(focus);
	cleanup_free uint32_t *stamp = calloc(n->r->n + 1, sizeof(*stamp));

	if (!stamp)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		uint32_t inner = UINT32_MAX;

		for (uint32_t k = 0; k < s->nstack; k++) {
			uint32_t loc = p->stack[s->stack0 + k];

			for (size_t j = 0; j < frames_of(&p->locations[loc]); j++) {
				uint32_t id = n->id[n->first[loc] + j], who = UINT32_MAX;

				if (callers && inner != UINT32_MAX && row[inner].key == key)
					who = id;
				else if (!callers && row[id].key == key && inner != UINT32_MAX)
					who = inner;
				if (who != UINT32_MAX && stamp[who] != i + 1) {
					add_values(row[who].cum, s->value);
					add_values(row[who].flat, s->value);
					stamp[who] = i + 1;
				}
				inner = id;
			}
		}
	}
	return 0;
}

/* Names that are shown without their arguments, in place. */
static size_t put_short(char *to, size_t room, const char *name)
{
	cleanup_free char *copy = strdup(name);

	if (!copy)
		return 0;
	shortname(copy);
	return min_of((size_t)snprintf(to, room, "%.*s", CHAIN_NAME, copy), room - 1);
}

/* What sets a stack apart from others with the same frames: a mapping, a heap of its own. */
static size_t put_labels(const struct profile *p, const struct profile_sample *s, char *to,
			 size_t room)
{
	size_t len = 0;

	for (size_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		if (l->str)
			len += snprintf(to + len, room - len, "[%.20s] ", profile__text(p, l->str));
	}
	return len;
}

/* "f < caller < its caller", from the first frame that tells something. */
static int chain_name(struct rows *r, struct row_names *n, const struct profile_sample *s,
		      const struct rows *functions, struct row *row)
{
	const struct profile *p = n->p;
	unsigned skip = telling__skip(p, s), at = 0, shown = 0;
	char text[CHAIN_FRAMES * (CHAIN_NAME / 2)];
	size_t len = put_labels(p, s, text, 64);

	for (uint32_t k = 0; k < s->nstack && shown < CHAIN_FRAMES; k++) {
		uint32_t loc = p->stack[s->stack0 + k];

		for (size_t j = 0; j < frames_of(&p->locations[loc]); j++, at++) {
			const char *name = functions->row[n->id[n->first[loc] + j]].name;

			/* how the program was started tells nothing */
			if (at < skip || (shown && (!strncmp(name, "__libc_start", 12) ||
						    !strcmp(name, "_start"))))
				continue;
			if (!shown)
				place(row, p, loc, j);
			if (len + CHAIN_NAME + 4 > sizeof(text))
				break;
			len += snprintf(text + len, sizeof(text) - len, "%s", shown++ ? " < " : "");
			len += put_short(text + len, sizeof(text) - len, name);
		}
	}
	row->name = strndup(text, len);
	return own(r, (char *)row->name);
}

static bool matches(const struct rows_options *o, const char *name)
{
	return !o->filter || rx__match(o->filter, name);
}

/* As --focus: a function's name or file, or the module. Asked once a location. */
static bool location_matches(const struct rows_options *o, const struct profile *p, uint32_t loc)
{
	const struct profile_location *l = &p->locations[loc];

	for (size_t i = 0; i < l->nlines; i++) {
		const struct profile_function *fn = function_at(p, loc, i);

		if (fn && (rx__match(o->filter, profile__text(p, fn->name)) ||
			   rx__match(o->filter, profile__text(p, fn->file))))
			return true;
	}
	return l->mapping < p->nmappings &&
	       rx__match(o->filter, profile__text(p, p->mappings[l->mapping].file));
}

static bool *matching_locations(const struct rows_options *o, const struct profile *p)
{
	bool *match = calloc(p->nlocations + 1, 1);

	for (size_t i = 0; match && i < p->nlocations; i++)
		match[i] = !o->filter || location_matches(o, p, i);
	return match;
}

static bool any_matches(const struct profile *p, const struct profile_sample *s, const bool *match)
{
	for (uint32_t k = 0; k < s->nstack; k++) {
		if (match[p->stack[s->stack0 + k]])
			return true;
	}
	return false;
}

static int list_stacks(struct rows *r, struct row_names *n, const struct rows_options *o)
{
	const struct profile *p = n->p;
	struct rows out = {.total = r->total};
	cleanup_free uint64_t *keys = malloc((p->nsamples + 1) * sizeof(*keys));
	cleanup_free bool *match = matching_locations(o, p);
	int err = keys && match ? watch__stack_keys(p, keys) : -ENOMEM;

	for (uint32_t i = 0; i < p->nsamples && !err; i++) {
		const struct profile_sample *s = &p->samples[i];
		struct row *row;

		if (!any_matches(p, s, match))
			continue;
		err = array_reserve(out.row, out.cap, out.n + 1);
		if (err)
			break;
		row = &out.row[out.n++];
		*row = r->row[n->id[n->first[p->stack[s->stack0]]]];
		row->key = keys[i];
		row->sample = i;
		memcpy(row->flat, s->value, sizeof(row->flat));
		memcpy(row->cum, s->value, sizeof(row->cum));
		err = chain_name(r, n, s, r, row);
	}
	out.owned = r->owned;
	out.nowned = r->nowned;
	out.owned_cap = r->owned_cap;
	free(r->row);
	*r = out;
	return err;
}

/* The sort works on copies of the two things that it compares. */
static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct row *x = a, *y = b;
	const struct rows_options *o = arg;
	double d = 0;

	switch (o->sort) {
	case ROWS_BY_FLAT: d = (double)y->shown_flat - (double)x->shown_flat; break;
	case ROWS_BY_CUM: d = (double)y->shown_cum - (double)x->shown_cum; break;
	case ROWS_BY_RATE: d = y->rate - x->rate; break;
	default: break;
	}
	if (d == 0 && o->sort != ROWS_BY_NAME)
		d = (double)y->shown_cum - (double)x->shown_cum;
	if (d == 0)
		d = strcmp(x->name, y->name);
	if (o->reverse)
		d = -d;
	return d < 0 ? -1 : d > 0;
}

static void finish(struct rows *r, const struct rows_options *o, const struct watch *w)
{
	size_t n = 0;
	bool stacks = o->mode == ROWS_STACKS;

	for (size_t i = 0; i < r->n; i++) {
		struct row *row = &r->row[i];
		const struct watch_entry *e = watch__find(w, row->key);

		row->shown_flat = row->flat[o->type];
		row->shown_cum = row->cum[o->type];
		row->rate =
			e && (stacks || o->mode == ROWS_FUNCTIONS) ? watch__rate(w, e, o->type) : 0;
		if (o->since_mark && e) {
			row->shown_cum -= e->mark[o->type];
			row->shown_flat = stacks ? row->shown_cum : row->shown_flat;
		}
		if (!row->shown_cum && !row->shown_flat && row->rate == 0)
			continue;
		if (!stacks && !matches(o, row->name))
			continue;
		r->row[n++] = *row;
	}
	r->n = n;
	if (n)
		qsort_r(r->row, n, sizeof(*r->row), compare_rows, (void *)o);
}

int rows__fill(struct rows *r, const struct profile *p, const struct rows_options *o,
	       const struct watch *stacks, struct watch *functions)
{
	struct row_names n;
	int err;

	rows__clear(r);
	err = names_make(&n, r, p);
	for (size_t i = 0; i < p->nsamples; i++)
		r->total += p->samples[i].value[o->type];
	if (!err && o->mode == ROWS_STACKS)
		err = list_stacks(r, &n, o);
	else if (!err && o->mode == ROWS_FUNCTIONS)
		err = sum_functions(&n);
	else if (!err)
		err = sum_neighbours(&n, o->focus, o->mode == ROWS_CALLERS);
	names_free(&n);
	if (!err)
		finish(r, o, o->mode == ROWS_STACKS ? stacks : functions);
	return err;
}

int rows__watch_functions(const struct profile *p, struct watch *w, double t_s)
{
	struct rows r = {0};
	struct row_names n;
	int64_t total = 1;
	int err = names_make(&n, &r, p);

	if (!err)
		err = sum_functions(&n);
	for (size_t i = 0; i < p->nsamples; i++)
		total += max_of(p->samples[i].value[PROFILE_INUSE_SPACE], (int64_t)0);
	if (!err)
		watch__tick(w, t_s);
	for (size_t i = 0; i < r.n && !err; i++)
		watch__put(w, r.row[i].key, r.row[i].cum,
			   r.row[i].cum[PROFILE_INUSE_SPACE] > total / 500);
	names_free(&n);
	rows__clear(&r);
	return err;
}
