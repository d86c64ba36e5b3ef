/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json_read.c - memwatch.profile/1 into struct profile.
 *
 * The outer object and its array of stacks are walked here and handed to jansson value by value:
 * a tree of the whole file would take many times the memory of the profile.
 */
#include "out/text.h"

#include "core/util.h"

#include <jansson.h>
#include <string.h>

#define MAX_STACKS (16u << 20)
#define MAX_FRAMES (1u << 16) /* of one stack */

struct parser {
	struct profile *p;
	const char *s, *end;
	const char *why;
	bool schema, typed; /* "schema" was right; sample types are set */
	uint32_t *locs;
	size_t locs_cap;
	struct profile_line *lines;
	size_t lines_cap;
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
	const char *module = text_of(frame, "module"), *build_id = text_of(frame, "build_id");
	struct profile_mapping m = {0};
	int err;

	*ret = PROFILE_NONE;
	if (!*module && !*build_id)
		return 0;
	err = profile__string(r->p, module, &m.file);
	err = err ? err : profile__string(r->p, build_id, &m.build_id);
	m.has_functions = true;
	return err ? err : profile__mapping(r->p, &m, ret);
}

static int add_line(struct parser *r, const json_t *frame, size_t *n)
{
	const char *name = text_of(frame, "function"), *file = text_of(frame, "file");
	struct profile_function f = {0};
	struct profile_line *line;
	int err;

	if (!*name && !*file)
		return 0; /* not symbolised */
	err = array_reserve(r->lines, r->lines_cap, *n + 1);
	err = err ? err : profile__string(r->p, name, &f.name);
	err = err ? err : profile__string(r->p, file, &f.file);
	f.system_name = f.name;
	line = &r->lines[*n];
	if (!err) {
		*line = (struct profile_line){.line = integer(json_object_get(frame, "line"))};
		err = profile__function(r->p, &f, &line->function);
		++*n;
	}
	return err;
}

/* Frames up to and with the first that is not inlined are one location. */
static int frames(struct parser *r, const json_t *list, size_t *ret_n)
{
	size_t i, n = 0, nlines = 0;
	const json_t *frame;

	if (json_array_size(list) > MAX_FRAMES)
		return bad(r, "a stack has too many frames");
	json_array_foreach((json_t *)list, i, frame) {
		uint32_t mapping;
		int err = json_is_object(frame) ? add_line(r, frame, &nlines)
						: bad(r, "a frame is no object");

		if (err)
			return err;
		if (json_is_true(json_object_get(frame, "inlined")))
			continue;
		err = add_mapping(r, frame, &mapping);
		err = err ? err : array_reserve(r->locs, r->locs_cap, n + 1);
		err = err ? err : profile__location(r->p, mapping,
						    integer(json_object_get(frame, "address")),
						    r->lines, nlines, &r->locs[n]);
		if (err)
			return err;
		n++;
		nlines = 0;
	}
	if (nlines)
		return bad(r, "an inlined frame has no caller");
	*ret_n = n;
	return 0;
}

static int labels(struct parser *r, const json_t *list, struct profile_label *out, size_t *n)
{
	const json_t *l;
	size_t i;
	int err = 0;

	json_array_foreach((json_t *)list, i, l) {
		struct profile_label *o = &out[*n];

		if (*n >= 16 || err)
			break;
		*o = (struct profile_label){.num = integer(json_object_get(l, "num"))};
		err = profile__string(r->p, text_of(l, "key"), &o->key);
		err = err ? err : profile__string(r->p, text_of(l, "str"), &o->str);
		err = err ? err : profile__string(r->p, text_of(l, "unit"), &o->unit);
		++*n;
	}
	return err;
}

static int one_stack(struct parser *r, const json_t *s)
{
	static const char *const key[] = {"alloc_objects", "alloc_bytes", "inuse_objects",
					  "inuse_bytes"};
	const json_t *values = json_object_get(s, "values");
	struct profile_label label[16];
	int64_t v[PROFILE_MAX_VALUES] = {0};
	size_t n = 0, nlabels = 0;
	int err;

	if (!json_is_object(s))
		return bad(r, "a stack is no object");
	if (r->p->nsamples >= MAX_STACKS) {
		r->why = "too many stacks";
		return -E2BIG;
	}
	for (size_t i = 0; i < r->p->nvalues; i++)
		v[i] = values  ? integer(json_array_get(values, i))
		       : i < 4 ? integer(json_object_get(s, key[i]))
			       : 0;
	err = frames(r, json_object_get(s, "frames"), &n);
	err = err ? err : labels(r, json_object_get(s, "labels"), label, &nlabels);
	return err ? err : profile__sample(r->p, r->locs, n, v, label, nlabels);
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
		json_t *s;

		err = value(r, &s);
		if (err)
			return err;
		err = one_stack(r, s);
		json_decref(s);
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
	int err = 0;

	if (r->typed || !json_array_size(list) || json_array_size(list) > PROFILE_MAX_VALUES)
		return bad(r, "too many or misplaced sample types");
	json_array_foreach((json_t *)list, i, t) {
		err = err ? err : profile__string(r->p, text_of(t, "type"), &r->p->sample_type[i].type);
		err = err ? err : profile__string(r->p, text_of(t, "unit"), &r->p->sample_type[i].unit);
	}
	r->p->nvalues = json_array_size(list);
	r->typed = true;
	return err;
}

static int totals(struct profile *p, const json_t *o)
{
	double *to[] = {&p->totals.alloc_objects, &p->totals.alloc_bytes,   &p->totals.free_objects,
			&p->totals.free_bytes,	  &p->totals.inuse_objects, &p->totals.inuse_bytes};
	static const char *const key[] = {"alloc_objects", "alloc_bytes",   "free_objects",
					  "free_bytes",	   "inuse_objects", "inuse_bytes"};

	for (size_t i = 0; i < ARRAY_SIZE(to); i++)
		*to[i] = json_number_value(json_object_get(o, key[i]));
	return 0;
}

static int loss(struct profile *p, json_t *o)
{
	const char *cause;
	json_t *count;
	int err = 0;

	json_object_foreach(o, cause, count) {
		if (!err)
			err = profile__loss(p, cause, integer(count), 0);
	}
	return err;
}

static int member(struct parser *r, const char *key, json_t *v)
{
	struct profile *p = r->p;
	int64_t ms;

	if (!strcmp(key, "schema")) {
		r->schema = json_is_string(v) &&
			    !strcmp(json_string_value(v), "memwatch.profile/1");
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
	else if (!strcmp(key, "sample_types"))
		return sample_types(r, v);
	return 0;
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
	if (err) {
		profile__free(r.p);
		if (ret_why)
			*ret_why = r.why;
		return err;
	}
	*ret = r.p;
	return 0;
}
