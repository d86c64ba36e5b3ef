/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pprof_read.c - profile.proto into struct profile.
 *
 * Samples come before the tables they refer to, so the message is walked several times: the
 * tables first, the samples last; a walk over top-level fields touches only their lengths. The
 * rules of validity are pprof's own: unique ids, every reference resolved, as many values as
 * sample types. Caps bound the memory that a small hostile file can ask for.
 */
#include "format/json_keys.h"
#include "format/pprof.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "format/inflate.h"
#include "format/protowire.h"

#include <jansson.h>
#include <string.h>

#define NO_MEMORY "out of memory (MEMWATCH_PARSE_MEMORY=4G allows more)"
#define MAX_RAW ((size_t)1 << 30) /* bytes of the inflated message */
#define MAX_SAMPLES (16u << 20)
#define MAX_FRAMES (256u << 20) /* of all samples */
#define MAX_COMMENTS (1u << 16)
#define MAX_ELEMENTS (16u << 20) /* functions, locations, mappings, lines, labels: of each */

struct sparse_id {
	uint64_t id;
	uint32_t index;
};

/* Ids of the file to our indices: a plain array while ids are dense, the others by hash. */
struct ids {
	uint32_t *dense; /* index + 1 */
	size_t ndense;
	struct sparse_id *sparse; /* by_id.n */
	size_t sparse_cap;
	struct hash_index by_id;
	const char *many, *twice; /* what is said of too many, of an id that comes again */
};

struct reader {
	struct profile *p;
	const uint8_t *raw;
	size_t len;
	uint32_t *string; /* the file's string index to ours */
	size_t nstring, string_cap;
	struct ids mappings, functions, locations;
	uint32_t *stack; /* scratch: one sample */
	size_t stack_cap;
	struct profile_label *labels;
	size_t labels_cap;
	int err; /* the first that went wrong; all that follows is left */
	const char *why;
};

/* Room for n elements; false: something went wrong, now or before. */
#define HAS_ROOM(r, ptr, cap, n) (!(r)->err && !((r)->err = array_reserve(ptr, cap, n)))

static void fail(struct reader *r, int err, const char *why)
{
	if (r->err)
		return;
	r->err = err;
	r->why = why;
}

static void bad(struct reader *r, const char *why)
{
	fail(r, -EBADMSG, why);
}

static void too_big(struct reader *r, const char *why)
{
	fail(r, -E2BIG, why);
}

static bool ids_find(const struct ids *t, uint64_t id, uint32_t *ret)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	if (id < t->ndense) {
		*ret = t->dense[id] - 1;
		return t->dense[id];
	}
	while (id && hash_index__next(&t->by_id, keyhash__word(id), &at, &i)) {
		*ret = t->sparse[i].index;
		if (t->sparse[i].id == id)
			return true;
	}
	return false;
}

/* 0, -EEXIST, -ENOMEM. Ids up to twice the number of elements so far (and a bit) stay dense. */
static int ids_add(struct ids *t, uint64_t id, uint32_t index)
{
	uint32_t other;
	int err;

	if (ids_find(t, id, &other))
		return -EEXIST;
	if (id >= t->ndense && id < (uint64_t)index * 2 + 1024) {
		size_t n = (size_t)index * 2 + 1024;
		uint32_t *dense = realloc(t->dense, n * sizeof(*dense));

		if (!dense)
			return -ENOMEM;
		memset(dense + t->ndense, 0, (n - t->ndense) * sizeof(*dense));
		/* What was sparse and is now in reach moves over. */
		for (size_t i = 0; i < t->by_id.n; i++) {
			if (t->sparse[i].id < n)
				dense[t->sparse[i].id] = t->sparse[i].index + 1;
		}
		t->dense = dense;
		t->ndense = n;
		if (dense[id])
			return -EEXIST;
	}
	if (id < t->ndense) {
		t->dense[id] = index + 1;
		return 0;
	}
	err = hash_index__reserve(&t->by_id);
	if (!err)
		err = array_reserve(t->sparse, t->sparse_cap, t->by_id.n + 1);
	if (err)
		return err;
	t->sparse[t->by_id.n] = (struct sparse_id){id, index};
	hash_index__add(&t->by_id, keyhash__word(id));
	return 0;
}

static void ids_free(struct ids *t)
{
	free(t->dense);
	free(t->sparse);
	hash_index__fini(&t->by_id);
}

static void add_id(struct reader *r, struct ids *t, uint64_t id, size_t index)
{
	int err;

	if (index >= MAX_ELEMENTS)
		too_big(r, t->many);
	if (r->err)
		return;
	err = id ? ids_add(t, id, index) : -EEXIST;
	if (err == -EEXIST)
		bad(r, t->twice);
	else
		r->err = err;
}

static uint32_t string_of(struct reader *r, uint64_t i)
{
	if (i < r->nstring)
		return r->string[i];
	bad(r, "a string index is out of range");
	return 0;
}

static void read_strings(struct reader *r)
{
	struct protowire w = protowire__of(r->raw, r->len);
	int more = 0;

	while (!r->err && (more = protowire__next(&w)) > 0) {
		if (w.field != 6 || w.type != WIRE_BYTES)
			continue;
		if (!r->nstring && w.len)
			bad(r, "the first string is not empty");
		if (r->nstring >= PROFILE_MAX_ITEMS / 4)
			too_big(r, "too many strings");
		if (HAS_ROOM(r, r->string, r->string_cap, r->nstring + 1))
			r->err = profile__string_n(r->p, (const char *)w.data, w.len,
						   &r->string[r->nstring]);
		r->nstring += !r->err;
	}
	if (more < 0)
		bad(r, "damaged message");
}

static void read_value_type(struct reader *r, const struct protowire *from,
			    struct profile_value_type *t)
{
	struct protowire w = protowire__of(from->data, from->len);
	int more;

	while ((more = protowire__next(&w)) > 0) {
		if (w.field == 1)
			t->type = string_of(r, w.num);
		else if (w.field == 2)
			t->unit = string_of(r, w.num);
	}
	if (more < 0)
		bad(r, "damaged value type");
}

static void read_mapping(struct reader *r, const struct protowire *from)
{
	struct protowire w = protowire__of(from->data, from->len);
	struct profile_mapping m = {0};
	struct profile *p = r->p;
	uint64_t id = 0;
	int more;

	while ((more = protowire__next(&w)) > 0) {
		switch (w.field) {
		case 1: id = w.num; break;
		case 2: m.start = w.num; break;
		case 3: m.limit = w.num; break;
		case 4: m.offset = w.num; break;
		case 5: m.file = string_of(r, w.num); break;
		case 6: m.build_id = string_of(r, w.num); break;
		case 7: m.has_functions = w.num; break;
		case 8: m.has_filenames = w.num; break;
		case 9: m.has_lines = w.num; break;
		case 10: m.has_inlines = w.num; break;
		}
	}
	if (more < 0)
		bad(r, "damaged mapping");
	add_id(r, &r->mappings, id, p->nmappings);
	if (HAS_ROOM(r, p->mappings, p->mappings_cap, p->nmappings + 1))
		p->mappings[p->nmappings++] = m;
}

static void read_function(struct reader *r, const struct protowire *from)
{
	struct protowire w = protowire__of(from->data, from->len);
	struct profile_function f = {0};
	struct profile *p = r->p;
	uint64_t id = 0;
	int more;

	while ((more = protowire__next(&w)) > 0) {
		switch (w.field) {
		case 1: id = w.num; break;
		case 2: f.name = string_of(r, w.num); break;
		case 3: f.system_name = string_of(r, w.num); break;
		case 4: f.file = string_of(r, w.num); break;
		case 5: f.start_line = w.num; break;
		}
	}
	if (more < 0)
		bad(r, "damaged function");
	add_id(r, &r->functions, id, p->nfunctions);
	if (HAS_ROOM(r, p->functions, p->functions_cap, p->nfunctions + 1))
		p->functions[p->nfunctions++] = f;
}

static void read_line(struct reader *r, const struct protowire *from)
{
	struct protowire w = protowire__of(from->data, from->len);
	struct profile_line line = {.function = PROFILE_NONE};
	struct profile *p = r->p;
	int more;

	while ((more = protowire__next(&w)) > 0) {
		if (w.field == 1 && !ids_find(&r->functions, w.num, &line.function))
			bad(r, "a line refers to an unknown function");
		if (w.field == 2)
			line.line = w.num;
		else if (w.field == 3)
			line.column = w.num;
	}
	if (more < 0)
		bad(r, "damaged line");
	if (line.function == PROFILE_NONE)
		bad(r, "a line without a function");
	if (p->nlines >= MAX_ELEMENTS)
		too_big(r, "too many lines");
	if (HAS_ROOM(r, p->lines, p->lines_cap, p->nlines + 1))
		p->lines[p->nlines++] = line;
}

static void read_location(struct reader *r, const struct protowire *from)
{
	struct protowire w = protowire__of(from->data, from->len);
	struct profile *p = r->p;
	struct profile_location l = {.mapping = PROFILE_NONE, .line0 = p->nlines};
	uint64_t id = 0;
	int more;

	while ((more = protowire__next(&w)) > 0) {
		switch (w.field) {
		case 1: id = w.num; break;
		case 2:
			/* pprof takes an unknown mapping for none. */
			if (!ids_find(&r->mappings, w.num, &l.mapping))
				l.mapping = PROFILE_NONE;
			break;
		case 3: l.address = w.num; break;
		case 4:
			if (w.type == WIRE_BYTES)
				read_line(r, &w);
			break;
		case 5: l.is_folded = w.num; break;
		}
	}
	if (more < 0)
		bad(r, "damaged location");
	l.nlines = p->nlines - l.line0;
	add_id(r, &r->locations, id, p->nlocations);
	if (HAS_ROOM(r, p->locations, p->locations_cap, p->nlocations + 1))
		p->locations[p->nlocations++] = l;
}

static void read_comments(struct reader *r, const struct protowire *from)
{
	struct protowire_list l = protowire__list(from);
	struct profile *p = r->p;
	uint64_t v;

	while (!r->err && protowire__list_next(&l, &v)) {
		uint32_t id = string_of(r, v);

		if (p->ncomments >= MAX_COMMENTS)
			too_big(r, "too many comments");
		if (HAS_ROOM(r, p->comments, p->comments_cap, p->ncomments + 1))
			p->comments[p->ncomments++] = id;
	}
}

/* Mappings, functions and the header in one walk, locations in the next. */
static void read_tables(struct reader *r)
{
	struct protowire w = protowire__of(r->raw, r->len);
	struct profile *p = r->p;

	while (!r->err && protowire__next(&w) > 0) {
		bool message = w.type == WIRE_BYTES;

		switch (w.field) {
		case 1:
			if (p->nvalues >= PROFILE_MAX_VALUES)
				too_big(r, "too many sample types");
			else
				read_value_type(r, &w, &p->sample_type[p->nvalues++]);
			break;
		case 3:
			if (message)
				read_mapping(r, &w);
			break;
		case 5:
			if (message)
				read_function(r, &w);
			break;
		case 7: p->drop_frames = string_of(r, w.num); break;
		case 8: p->keep_frames = string_of(r, w.num); break;
		case 9: p->time_ns = w.num; break;
		case 10: p->duration_ns = w.num; break;
		case 11: read_value_type(r, &w, &p->period_type); break;
		case 12: p->period = w.num; break;
		case 13: read_comments(r, &w); break;
		case 14: p->default_sample_type = string_of(r, w.num); break;
		case 15: p->doc_url = string_of(r, w.num); break;
		}
	}
	w = protowire__of(r->raw, r->len);
	while (!r->err && protowire__next(&w) > 0) {
		if (w.field == 4 && w.type == WIRE_BYTES)
			read_location(r, &w);
	}
}

/* False: pprof forgets labels without a value. */
static bool read_label(struct reader *r, const struct protowire *from, struct profile_label *l)
{
	struct protowire w = protowire__of(from->data, from->len);
	int more;

	*l = (struct profile_label){0};
	while ((more = protowire__next(&w)) > 0) {
		switch (w.field) {
		case 1: l->key = string_of(r, w.num); break;
		case 2: l->str = string_of(r, w.num); break;
		case 3: l->num = w.num; break;
		case 4: l->unit = string_of(r, w.num); break;
		}
	}
	if (more < 0)
		bad(r, "damaged label");
	return l->str || l->num || l->unit;
}

static void read_stack(struct reader *r, const struct protowire *w, size_t *n)
{
	struct protowire_list l = protowire__list(w);
	uint64_t id;

	/* A packed id takes a byte at least. */
	if (!HAS_ROOM(r, r->stack, r->stack_cap, *n + (w->type == WIRE_BYTES ? w->len : 1)))
		return;
	while (!r->err && protowire__list_next(&l, &id)) {
		if (!ids_find(&r->locations, id, &r->stack[(*n)++]))
			bad(r, "a sample refers to an unknown location");
	}
	if (l.bad)
		bad(r, "damaged stack");
}

static void read_values(struct reader *r, const struct protowire *w, int64_t *value, size_t *n)
{
	struct protowire_list l = protowire__list(w);
	uint64_t v;

	while (!r->err && protowire__list_next(&l, &v)) {
		if (*n < r->p->nvalues)
			value[(*n)++] = v;
		else
			bad(r, "more values than sample types");
	}
	if (l.bad)
		bad(r, "damaged values");
}

static void read_sample(struct reader *r, const struct protowire *from)
{
	struct protowire w = protowire__of(from->data, from->len);
	size_t n = 0, nlabels = 0, nvalues = 0;
	int64_t value[PROFILE_MAX_VALUES];
	struct profile *p = r->p;
	int more = 0;

	while (!r->err && (more = protowire__next(&w)) > 0) {
		if (w.field == 1)
			read_stack(r, &w, &n);
		else if (w.field == 2)
			read_values(r, &w, value, &nvalues);
		else if (w.field == 3 && w.type == WIRE_BYTES &&
			 HAS_ROOM(r, r->labels, r->labels_cap, nlabels + 1))
			nlabels += read_label(r, &w, &r->labels[nlabels]);
	}
	if (more < 0)
		bad(r, "damaged sample");
	if (!p->nvalues)
		bad(r, "samples without sample types");
	if (nvalues != p->nvalues)
		bad(r, "fewer values than sample types");
	if (p->nsamples >= MAX_SAMPLES || n > MAX_FRAMES - p->nstack ||
	    nlabels > MAX_ELEMENTS - p->nlabels)
		too_big(r, "too many samples, frames or labels");
	if (!r->err)
		r->err = profile__sample(p, r->stack, n, value, r->labels, nlabels);
}

static void read_samples(struct reader *r)
{
	struct protowire w = protowire__of(r->raw, r->len);

	while (!r->err && protowire__next(&w) > 0) {
		if (w.field == 2 && w.type == WIRE_BYTES)
			read_sample(r, &w);
	}
}

/* What memwatch added in a comment of its own; see pprof.h. Nonsense is ignored. */
static int read_private(struct profile *p, const char *text)
{
	json_t *o = json_loads(text, 0, NULL), *loss = json_object_get(o, "loss"), *l;
	const char *comm = json_string_value(json_object_get(o, "comm"));
	const char *cmdline = json_string_value(json_object_get(o, "cmdline"));
	size_t i;
	int err = 0;

	p->pid = (uint32_t)json_integer_value(json_object_get(o, "pid"));
	p->sample_bytes = json_integer_value(json_object_get(o, "sample_bytes"));
	for (i = 0; i < JSON_KEYS_TOTALS; i++)
		*json_keys__total_of(&p->totals, i) =
			json_number_value(json_object_get(o, json_keys__total[i].key));
	if (comm)
		err = profile__string(p, comm, &p->comm);
	if (!err && cmdline)
		err = profile__string(p, cmdline, &p->cmdline);
	json_array_foreach(loss, i, l)
	{
		const char *cause = json_string_value(json_array_get(l, 0));

		if (!err && cause)
			err = profile__loss(p, cause, json_integer_value(json_array_get(l, 1)),
					    json_integer_value(json_array_get(l, 2)));
	}
	json_decref(o);
	return err;
}

static int find_private(struct profile *p)
{
	for (size_t i = 0; i < p->ncomments; i++) {
		const char *text = profile__text(p, p->comments[i]);

		if (!strncmp(text, "#memwatch {", 11)) {
			/* Adding strings may move the text. */
			cleanup_free char *copy = strdup(text + 10);

			return copy ? read_private(p, copy) : -ENOMEM;
		}
	}
	return 0;
}

static void read_message(struct reader *r)
{
	if (!r->len)
		bad(r, "empty");
	read_strings(r);
	if (!r->nstring)
		bad(r, "no string table");
	read_tables(r);
	read_samples(r);
	if (!r->p->nvalues)
		bad(r, "no sample types");
	if (!r->err)
		r->err = find_private(r->p);
}

int pprof__read(const void *buf, size_t len, struct profile **ret, const char **ret_why)
{
	cleanup_free uint8_t *inflated = NULL;
	struct reader r = {
		.raw = buf,
		.len = len,
		.mappings = {.many = "too many mappings", .twice = "mapping ids are not unique"},
		.functions = {.many = "too many functions", .twice = "function ids are not unique"},
		.locations = {.many = "too many locations", .twice = "location ids are not unique"},
		.why = NO_MEMORY};

	if (inflate__is_gzip(buf, len)) {
		r.err = inflate__gzip(buf, len, MAX_RAW, &inflated, &r.len);
		r.raw = inflated;
		if (r.err && r.err != -ENOMEM)
			r.why = r.err == -E2BIG ? "inflates beyond 1GB"
						: "damaged or truncated gzip data";
	} else if (len > MAX_RAW) {
		too_big(&r, "larger than 1GB");
	}
	if (!r.err)
		r.err = profile__new(&r.p);
	if (!r.err)
		read_message(&r);
	ids_free(&r.mappings);
	ids_free(&r.functions);
	ids_free(&r.locations);
	free(r.string);
	free(r.stack);
	free(r.labels);
	if (r.err) {
		profile__free(r.p);
		if (ret_why)
			*ret_why = r.why;
		return r.err;
	}
	*ret = r.p;
	return 0;
}
