/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json_read.c - memwatch.profile/1 into struct profile.
 *
 * The outer object, its array of stacks and their frames are walked here and handed to jansson
 * value by value: a tree of the whole file would take many times the memory of the profile. Most
 * of a file are the same frames again and again, so a frame whose text was met before is not
 * parsed again.
 */
#include "format/text.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "format/hist_in.h"
#include "format/json_keys.h"
#include "format/ledger_out.h"

#include <jansson.h>
#include <string.h>

#define MAX_STACKS (16u << 20)
#define MAX_FRAMES (1u << 16) /* of one stack */

/* A frame, parsed. Its text is the key of the cache. */
struct frame {
	const char *text;
	size_t len;
	struct profile_line line;
	uint32_t mapping;
	uint64_t address;
	bool named, inlined; /* named: line is valid */
};

struct parser {
	struct profile *p;
	const char *s, *end;
	struct frame *frames;
	size_t frames_cap;
	struct hash_index index; /* index.n frames by their text */
	const char *why;
	bool schema, typed; /* "schema" was right; sample types are set */
	uint32_t *locs;
	size_t locs_cap;
	struct profile_line *lines;
	size_t lines_cap;
	int err; /* of string_of */
};

static int bad(struct parser *r, const char *why)
{
	r->why = why;
	return -EBADMSG;
}

static void skip_space(struct parser *r)
{
	while (r->s < r->end && (*r->s == ' ' || *r->s == '\t' || *r->s == '\n' || *r->s == '\r'))
		r->s++;
}

static bool accept_char(struct parser *r, char c)
{
	skip_space(r);
	if (r->s == r->end || *r->s != c)
		return false;
	r->s++;
	return true;
}

static int value(struct parser *r, json_t **ret)
{
	json_error_t e;

	skip_space(r);
	*ret = json_loadb(r->s, r->end - r->s, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &e);
	if (!*ret)
		return bad(r, "no valid JSON");
	r->s += e.position;
	return 0;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

/* What fails stays in r->err, and all that follows is left. */
static uint32_t string_of(struct parser *r, const json_t *o, const char *key)
{
	uint32_t id = 0;

	if (!r->err)
		r->err = profile__string(r->p, text_of(o, key), &id);
	return id;
}

static int64_t integer(const json_t *v)
{
	double d;

	if (json_is_integer(v))
		return json_integer_value(v);
	d = json_number_value(v);
	return d >= -0x1p62 && d <= 0x1p62 ? (int64_t)d : 0;
}

static int add_mapping(struct parser *r, const json_t *frame, uint32_t *ret)
{
	struct profile_mapping m = {.has_functions = true};

	*ret = PROFILE_NONE;
	m.file = string_of(r, frame, "module");
	m.build_id = string_of(r, frame, "build_id");
	if (r->err || (!m.file && !m.build_id))
		return r->err;
	return profile__mapping(r->p, &m, ret);
}

static int parse_frame(struct parser *r, struct frame *fr)
{
	json_t *o = json_loadb(fr->text, fr->len, 0, NULL);
	struct profile_function f = {0};
	int err = json_is_object(o) ? 0 : bad(r, "a frame is no valid JSON object");

	f.name = f.system_name = string_of(r, o, "function");
	f.file = string_of(r, o, "file");
	fr->named = f.name || f.file;
	if (!err)
		err = r->err;
	if (!err && fr->named)
		err = profile__function(r->p, &f, &fr->line.function);
	fr->line.line = integer(json_object_get(o, "line"));
	fr->inlined = json_is_true(json_object_get(o, "inlined"));
	fr->address = integer(json_object_get(o, "address"));
	if (!err)
		err = add_mapping(r, o, &fr->mapping);
	json_decref(o);
	return err;
}

static int find_frame(struct parser *r, const char *text, size_t len, const struct frame **ret)
{
	struct frame fr = {.text = text, .len = len};
	uint64_t hash = keyhash__bytes(text, len);
	size_t at = HASH_INDEX_START;
	uint32_t i;
	int err;

	while (hash_index__next(&r->index, hash, &at, &i)) {
		*ret = &r->frames[i];
		if ((*ret)->len == len && !memcmp((*ret)->text, text, len))
			return 0;
	}
	err = parse_frame(r, &fr);
	if (!err)
		err = hash_index__reserve(&r->index);
	if (!err)
		err = array_reserve(r->frames, r->frames_cap, r->index.n + 1);
	if (err)
		return err;
	*ret = &r->frames[r->index.n];
	r->frames[r->index.n] = fr;
	hash_index__add(&r->index, hash);
	return 0;
}

/* The length of the object that begins at s, 0 if it does not end. Strings may hold braces. */
static size_t object_length(const char *s, const char *end)
{
	size_t depth = 0;

	for (const char *p = s; p < end; p++) {
		if (*p == '"') {
			for (p++; p < end && *p != '"'; p++)
				p += *p == '\\';
			continue;
		}
		depth += *p == '{';
		if (*p == '}' && --depth == 0)
			return p + 1 - s;
	}
	return 0;
}

/* Lines up to and with the first that is not inlined are one location. */
static int add_frame(struct parser *r, const struct frame *f, size_t *n, size_t *nlines)
{
	int err = 0;

	if (f->named) {
		err = array_reserve(r->lines, r->lines_cap, *nlines + 1);
		if (err)
			return err;
		r->lines[(*nlines)++] = f->line;
	}
	if (f->inlined)
		return 0;
	err = array_reserve(r->locs, r->locs_cap, *n + 1);
	err = err ? err
		  : profile__location(r->p, f->mapping, f->address, r->lines, *nlines,
				      &r->locs[*n]);
	++*n;
	*nlines = 0;
	return err;
}

static int frames(struct parser *r, size_t *ret_n)
{
	size_t n = 0, nlines = 0, count = 0;

	if (!accept_char(r, '['))
		return bad(r, "\"frames\" is no array");
	for (bool more = !accept_char(r, ']'); more; more = accept_char(r, ',')) {
		const struct frame *f;
		size_t len;
		int err;

		skip_space(r);
		len = r->s < r->end && *r->s == '{' ? object_length(r->s, r->end) : 0;
		if (!len)
			return bad(r, "a frame is no object");
		if (++count > MAX_FRAMES)
			return bad(r, "a stack has too many frames");
		err = find_frame(r, r->s, len, &f);
		err = err ? err : add_frame(r, f, &n, &nlines);
		if (err)
			return err;
		r->s += len;
	}
	if (count && !accept_char(r, ']'))
		return bad(r, "no valid JSON");
	if (nlines)
		return bad(r, "an inlined frame has no caller");
	*ret_n = n;
	return 0;
}

static int labels(struct parser *r, const json_t *list, struct profile_label *out, size_t *n)
{
	const json_t *l;
	size_t i;

	json_array_foreach((json_t *)list, i, l)
	{
		struct profile_label *o = &out[*n];

		if (*n >= 16)
			break;
		o->num = integer(json_object_get(l, "num"));
		o->key = string_of(r, l, "key");
		o->str = string_of(r, l, "str");
		o->unit = string_of(r, l, "unit");
		++*n;
	}
	return r->err;
}

struct stack {
	int64_t v[PROFILE_MAX_VALUES];
	struct profile_label label[16];
	size_t n, nlabels;
	struct hist hist; /* owned */
	bool values;
};

/* A member of a stack other than its frames. */
static int stack_member(struct parser *r, const char *key, const json_t *v, struct stack *st)
{
	if (!strcmp(key, "labels"))
		return labels(r, v, st->label, &st->nlabels);
	if (!strcmp(key, "values")) {
		st->values = true;
		for (size_t i = 0; i < r->p->nvalues; i++)
			st->v[i] = integer(json_array_get(v, i));
	}
	for (size_t i = 0; i < JSON_KEYS_VALUES && i < r->p->nvalues && !st->values; i++) {
		if (!strcmp(key, json_keys__value[i]))
			st->v[i] = integer(v);
	}
	return hist_in__stack(&st->hist, key, v);
}

static int stack_members(struct parser *r, struct stack *st)
{
	size_t members = 0;
	int err = 0;

	if (!accept_char(r, '{'))
		return bad(r, "a stack is no object");
	for (bool more = !accept_char(r, '}'); more; more = accept_char(r, ',')) {
		json_t *key, *v;

		err = value(r, &key);
		if (err)
			return err;
		members++;
		if (!json_is_string(key) || !accept_char(r, ':')) {
			err = bad(r, "no valid JSON");
		} else if (!strcmp(json_string_value(key), "frames")) {
			err = frames(r, &st->n);
		} else {
			err = value(r, &v);
			if (!err) {
				err = stack_member(r, json_string_value(key), v, st);
				json_decref(v);
			}
		}
		json_decref(key);
		if (err)
			return err;
	}
	if (members && !accept_char(r, '}')) /* an empty object has been closed already */
		return bad(r, "no valid JSON");
	return 0;
}

static int one_stack(struct parser *r)
{
	struct stack st = {.n = 0};
	int err;

	if (r->p->nsamples >= MAX_STACKS) {
		r->why = "too many stacks";
		return -E2BIG;
	}
	err = stack_members(r, &st);
	if (!err)
		err = profile__sample(r->p, r->locs, st.n, st.v, st.label, st.nlabels);
	if (!err && st.hist.mask)
		err = profile__hist(r->p, &st.hist);
	hist__clear(&st.hist);
	return err;
}

static int stacks(struct parser *r)
{
	int err = 0;

	if (!accept_char(r, '['))
		return bad(r, "\"stacks\" is no array");
	if (!r->typed)
		err = profile__set_heap_types(r->p, r->p->sample_bytes);
	r->typed = true;
	if (accept_char(r, ']'))
		return err;
	while (!err) {
		err = one_stack(r);
		if (err || accept_char(r, ']'))
			return err;
		if (!accept_char(r, ','))
			return bad(r, "no valid JSON");
	}
	return err;
}

static int sample_types(struct parser *r, const json_t *list)
{
	const json_t *t;
	size_t i;

	if (r->typed || !json_array_size(list) || json_array_size(list) > PROFILE_MAX_VALUES)
		return bad(r, "too many or misplaced sample types");
	json_array_foreach((json_t *)list, i, t)
	{
		r->p->sample_type[i].type = string_of(r, t, "type");
		r->p->sample_type[i].unit = string_of(r, t, "unit");
	}
	r->p->nvalues = json_array_size(list);
	r->typed = true;
	return r->err;
}

static int totals(struct profile *p, const json_t *o)
{
	for (size_t i = 0; i < JSON_KEYS_TOTALS; i++)
		*json_keys__total_of(&p->totals, i) =
			json_number_value(json_object_get(o, json_keys__total[i].key));
	return 0;
}

static int loss(struct profile *p, json_t *o)
{
	const char *cause;
	json_t *count;
	int err = 0;

	json_object_foreach(o, cause, count)
	{
		if (!err)
			err = profile__loss(p, cause, integer(count), 0);
	}
	return err;
}

static int comments(struct profile *p, const json_t *list)
{
	const json_t *text;
	size_t i;
	int err = 0;

	json_array_foreach((json_t *)list, i, text)
	{
		if (json_is_string(text) && !err)
			err = profile__comment(p, json_string_value(text));
	}
	return err;
}

static int ledgers(struct parser *r, const json_t *list)
{
	const json_t *o;
	size_t i;
	int err = 0;

	if (!json_is_array(list))
		return bad(r, "\"ledger\" is no array");
	json_array_foreach((json_t *)list, i, o)
	{
		const char *why, *comm;
		struct ledger l;
		uint32_t pid;

		if (ledger_out__parse(o, &l, &pid, &comm, &why))
			return bad(r, why);
		err = profile__ledger(r->p, pid, comm, &l);
		if (err == -E2BIG)
			r->why = "too many ledgers";
		if (err)
			return err;
	}
	return err;
}

static int member(struct parser *r, const char *key, json_t *v)
{
	struct profile *p = r->p;
	int64_t ms;

	if (!strcmp(key, "schema")) {
		r->schema =
			json_is_string(v) && !strcmp(json_string_value(v), "memwatch.profile/1");
		return r->schema ? 0 : bad(r, "not of schema memwatch.profile/1");
	}
	if (!strcmp(key, "pid"))
		p->pid = integer(v);
	else if (!strcmp(key, "comm") && json_is_string(v))
		return profile__string(p, json_string_value(v), &p->comm);
	else if (!strcmp(key, "cmdline") && json_is_string(v))
		return profile__string(p, json_string_value(v), &p->cmdline);
	else if (!strcmp(key, "start_unix_ms"))
		p->time_ns = __builtin_mul_overflow(integer(v), 1000000, &ms) ? 0 : ms;
	else if (!strcmp(key, "duration_ms"))
		p->duration_ns = __builtin_mul_overflow(integer(v), 1000000, &ms) ? 0 : ms;
	else if (!strcmp(key, "sample_bytes"))
		p->sample_bytes = max_of(integer(v), (int64_t)0);
	else if (!strcmp(key, "totals"))
		return totals(p, v);
	else if (!strcmp(key, "loss"))
		return loss(p, v);
	else if (!strcmp(key, "comments"))
		return comments(p, v);
	else if (!strcmp(key, "sample_types"))
		return sample_types(r, v);
	else if (!strcmp(key, "ledger"))
		return ledgers(r, v);
	return hist_in__total(p, key, v);
}

static int outer(struct parser *r)
{
	int err = 0;

	if (!accept_char(r, '{'))
		return bad(r, "not a JSON object");
	for (bool empty = accept_char(r, '}'); !err && !empty;) {
		json_t *key, *v;

		err = value(r, &key);
		if (err)
			return err;
		if (!json_is_string(key) || !accept_char(r, ':')) {
			err = bad(r, "no valid JSON");
		} else if (!strcmp(json_string_value(key), "stacks")) {
			err = stacks(r);
		} else {
			err = value(r, &v);
			if (!err) {
				err = member(r, json_string_value(key), v);
				json_decref(v);
			}
		}
		json_decref(key);
		if (err)
			return err;
		if (accept_char(r, '}'))
			break;
		if (!accept_char(r, ','))
			return bad(r, "no valid JSON");
	}
	skip_space(r);
	if (r->s != r->end)
		return bad(r, "text after the profile");
	if (!r->schema || !r->typed)
		return bad(r, "not of schema memwatch.profile/1");
	return 0;
}

int json__read(const char *text, size_t len, struct profile **ret, const char **ret_why)
{
	struct parser r = {.s = text, .end = text + len, .why = "out of memory"};
	int err = profile__new(&r.p);

	err = err ? err : outer(&r);
	free(r.locs);
	free(r.lines);
	free(r.frames);
	hash_index__fini(&r.index);
	if (err) {
		profile__free(r.p);
		if (ret_why)
			*ret_why = r.why;
		return err;
	}
	*ret = r.p;
	return 0;
}
