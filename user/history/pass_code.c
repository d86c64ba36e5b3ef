/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/pass_code.h"

#include "core/util.h"
#include "format/record_format.h"
#include "history/packed.h"
#include "model/timeline.h"

#include <string.h>

void pass_state__clear(struct pass_state *s)
{
	free(s->e);
	*s = (struct pass_state){0};
}

int pass_state__set(struct pass_state *s, const struct pass_entry *e, size_t n)
{
	int err = array_reserve(s->e, s->cap, n);

	if (err)
		return err;
	if (n)
		memcpy(s->e, e, n * sizeof(*e));
	s->n = n;
	return 0;
}

const struct pass_entry *pass_state__find(const struct pass_state *s, int64_t id)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->e[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->e[lo].id == id ? &s->e[lo] : NULL;
}

bool pass_pair__next(struct pass_pair *p, const struct pass_state *x, const struct pass_state *y,
		     const struct pass_entry **ret_x, const struct pass_entry **ret_y)
{
	*ret_x = p->i < x->n ? &x->e[p->i] : NULL;
	*ret_y = p->j < y->n ? &y->e[p->j] : NULL;
	if (*ret_x && *ret_y && (*ret_x)->id != (*ret_y)->id) {
		if ((*ret_x)->id < (*ret_y)->id)
			*ret_y = NULL;
		else
			*ret_x = NULL;
	}
	p->i += *ret_x != NULL;
	p->j += *ret_y != NULL;
	return *ret_x || *ret_y;
}

/* --- writing --- */

static uint64_t coded(int64_t v)
{
	return v == TIMELINE_UNKNOWN || v < 0 ? 0 : (uint64_t)v + 1;
}

static uint64_t changes(const struct pass_entry *before, const struct pass_entry *now)
{
	uint64_t mask = 0;

	for (int i = 0; i < PASS_VALUES; i++) {
		if (coded(now->value[i]) != (before ? coded(before->value[i]) : 0))
			mask |= 1ULL << i;
	}
	return mask;
}

static void put_entry(struct record_bytes *b, const struct pass_entry *before,
		      const struct pass_entry *now, uint64_t mask)
{
	record__put(b, mask);
	for (int i = 0; i < PASS_VALUES; i++) {
		if (mask >> i & 1)
			record__put_signed(b, (int64_t)(coded(now->value[i]) -
							(before ? coded(before->value[i]) : 0)));
	}
}

/* One entry for each id of the two that is new, gone or changed. Counts them if b is NULL. */
static size_t merge(struct record_bytes *b, const struct pass_state *before,
		    const struct pass_state *now)
{
	const struct pass_entry *x, *y;
	struct pass_pair pair = {0};
	int64_t last = 0;
	size_t n = 0;

	while (pass_pair__next(&pair, before, now, &x, &y)) {
		uint64_t mask = y ? changes(x, y) : 0;

		if (x && y && !mask)
			continue;
		n++;
		if (!b)
			continue;
		record__put(b, (uint64_t)((y ? y : x)->id - last) << 1 | !y);
		last = (y ? y : x)->id;
		if (y)
			put_entry(b, x, y, mask);
	}
	return n;
}

int pass_code__write(const struct pass_state *before, const struct pass_state *now, uint8_t **ret,
		     size_t *ret_len)
{
	struct record_bytes b = {0};

	record__put(&b, merge(NULL, before, now));
	merge(&b, before, now);
	if (!b.err)
		b.err = packed__write(b.data, b.n, ret, ret_len);
	free(b.data);
	return b.err;
}

/* --- reading --- */

#define NEW_USUALLY 64ULL /* entries that are new in a pass: room for more is made as they come */

static void get_entry(struct record_cursor *c, const struct pass_entry *before,
		      struct pass_entry *ret)
{
	uint64_t mask = record__get(c);

	c->bad |= mask >> PASS_VALUES != 0;
	for (int i = 0; i < PASS_VALUES && !c->bad; i++) {
		uint64_t v = before ? coded(before->value[i]) : 0;

		if (mask >> i & 1)
			v += (uint64_t)record__get_signed(c);
		else if (before) {
			ret->value[i] = before->value[i];
			continue;
		}
		c->bad |= v > (uint64_t)INT64_MAX;
		ret->value[i] = v ? (int64_t)(v - 1) : TIMELINE_UNKNOWN;
	}
}

static int append(struct pass_state *to, const struct pass_entry *e)
{
	int err = to->n >= PASS_MAX_ENTRIES ? -EBADMSG : array_reserve(to->e, to->cap, to->n + 1);

	if (!err)
		to->e[to->n++] = *e;
	return err;
}

static int apply(const struct pass_state *s, struct record_cursor *c, struct pass_state *to)
{
	uint64_t n = record__get_count(c), id = 0;
	size_t i = 0;
	int err = array_reserve(to->e, to->cap, s->n + (size_t)min_of(n, NEW_USUALLY));

	for (uint64_t k = 0; k < n && !err && !c->bad; k++) {
		uint64_t head = record__get(c);
		const struct pass_entry *before = NULL;
		struct pass_entry e;

		id += head >> 1;
		if (c->bad || (k && !(head >> 1)) || id > INT64_MAX)
			return -EBADMSG;
		for (; i < s->n && s->e[i].id < (int64_t)id && !err; i++)
			err = append(to, &s->e[i]);
		if (i < s->n && s->e[i].id == (int64_t)id)
			before = &s->e[i++];
		if (head & 1)
			continue;
		e.id = (int64_t)id;
		get_entry(c, before, &e);
		if (!err && !c->bad)
			err = append(to, &e);
	}
	for (; i < s->n && !err; i++)
		err = append(to, &s->e[i]);
	return err ? err : c->bad || c->at != c->end ? -EBADMSG : 0;
}

int pass_code__apply(struct pass_state *s, const void *data, size_t len)
{
	cleanup_free uint8_t *raw = NULL;
	struct pass_state to = {0};
	size_t n = 0;
	int err = packed__read(data, len, &raw, &n);

	if (!err) {
		struct record_cursor c = {raw, raw + n, false};

		err = apply(s, &c, &to);
	}
	if (err) {
		pass_state__clear(&to);
		return err;
	}
	pass_state__clear(s);
	*s = to;
	return 0;
}
