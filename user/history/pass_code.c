/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/pass_code.h"

#include "core/util.h"
#include "format/record_format.h"
#include "history/history.h"
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

#define PASS_BY_PAGES 2 /* no first byte of what is packed */
#define PAGE 4096
#define UNKNOWN_NOW 1 /* 0 bytes: no difference */

static int64_t bounded(int64_t v)
{
	return v < 0 ? TIMELINE_UNKNOWN : min_of(v, PASS_MAX_VALUE);
}

/* --- what is expected of values that follow others of the same entry --- */

#define RSS_BIT (1ULL << TIMELINE_RSS)
#define PEAK_BIT (1ULL << HISTORY_PEAK_RSS)

static int64_t expected_rss(const int64_t now[PASS_VALUES], int64_t before)
{
	int64_t anon = bounded(now[TIMELINE_RSS_ANON]), file = bounded(now[TIMELINE_RSS_FILE]),
		shmem = bounded(now[TIMELINE_RSS_SHMEM]);

	return anon < 0 || file < 0 || shmem < 0 ? before : bounded(anon + file + shmem);
}

static int64_t expected_peak(const int64_t now[PASS_VALUES], int64_t before)
{
	return now[TIMELINE_RSS] < 0 ? before : bounded(now[TIMELINE_RSS]);
}

/* --- writing --- */

static void expect(const struct pass_entry *before, const struct pass_entry *now,
		   int64_t ret[PASS_VALUES])
{
	for (int i = 0; i < PASS_VALUES; i++)
		ret[i] = before ? bounded(before->value[i]) : TIMELINE_UNKNOWN;
	ret[TIMELINE_RSS] = expected_rss(now->value, ret[TIMELINE_RSS]);
	ret[HISTORY_PEAK_RSS] = expected_peak(now->value, ret[HISTORY_PEAK_RSS]);
}

static uint64_t difference(int64_t expected, int64_t now)
{
	int64_t by;

	if (now == TIMELINE_UNKNOWN)
		return UNKNOWN_NOW;
	by = now - (expected == TIMELINE_UNKNOWN ? 0 : expected);
	return by % PAGE ? record__zigzag(by) << 1 | 1 : record__zigzag(by / PAGE) << 1;
}

static void put_entry(struct record_bytes *b, const struct pass_entry *before,
		      const struct pass_entry *now)
{
	int64_t expected[PASS_VALUES];
	uint64_t mask = 0;

	expect(before, now, expected);
	for (int i = 0; i < PASS_VALUES; i++)
		mask |= (uint64_t)(bounded(now->value[i]) != expected[i]) << i;
	record__put(b, mask);
	for (; mask; mask &= mask - 1) {
		int i = __builtin_ctzll(mask);

		record__put(b, difference(expected[i], bounded(now->value[i])));
	}
}

static bool is_same(const struct pass_entry *x, const struct pass_entry *y)
{
	for (int i = 0; i < PASS_VALUES; i++) {
		if (bounded(x->value[i]) != bounded(y->value[i]))
			return false;
	}
	return true;
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
		if (x && y && is_same(x, y))
			continue;
		n++;
		if (!b)
			continue;
		record__put(b, (uint64_t)((y ? y : x)->id - last) << 1 | !y);
		last = (y ? y : x)->id;
		if (y)
			put_entry(b, x, y);
	}
	return n;
}

int pass_code__write(const struct pass_state *before, const struct pass_state *now, uint8_t **ret,
		     size_t *ret_len)
{
	struct record_bytes b = {0};

	record__put(&b, PASS_BY_PAGES);
	record__put(&b, merge(NULL, before, now));
	merge(&b, before, now);
	if (b.err) {
		free(b.data);
		return b.err;
	}
	*ret = b.data;
	*ret_len = b.n;
	return 0;
}

/* --- reading --- */

struct pass_reading {
	struct record_cursor c;
	bool by_pages, begun;
	uint64_t left, id; /* entries to come; that of the last */
	uint8_t *unpacked; /* owned; NULL: the bytes are as they came */
};

static int begin(struct pass_reading *r, const void *data, size_t len)
{
	const uint8_t *in = data;
	int err;

	*r = (struct pass_reading){.by_pages = len && *in == PASS_BY_PAGES};
	if (r->by_pages) {
		r->c = (struct record_cursor){in + 1, in + len, false};
	} else {
		err = packed__read(data, len, &r->unpacked, &len);
		if (err)
			return err;
		r->c = (struct record_cursor){r->unpacked, r->unpacked + len, false};
	}
	r->left = record__get_count(&r->c);
	return 0;
}

/* false: that was all, or it is bad. */
static bool next_entry(struct pass_reading *r, bool *ret_ended)
{
	uint64_t head;

	if (!r->left || r->c.bad)
		return false;
	r->left--;
	head = record__get(&r->c);
	r->c.bad |= r->begun && !(head >> 1);
	r->begun = true;
	r->id += head >> 1;
	r->c.bad |= r->id > INT64_MAX;
	*ret_ended = head & 1;
	return !r->c.bad;
}

static int64_t value_by_pages(struct record_cursor *c, uint64_t coded, int64_t expected)
{
	int64_t by = record__unzigzag(coded >> 1), v = expected < 0 ? 0 : expected;

	if (coded == UNKNOWN_NOW)
		return TIMELINE_UNKNOWN;
	if (coded & 1 ? __builtin_add_overflow(v, by, &v)
		      : __builtin_mul_overflow(by, PAGE, &by) || __builtin_add_overflow(v, by, &v))
		v = -1;
	if (v >= 0 && v <= PASS_MAX_VALUE)
		return v;
	c->bad = true;
	return TIMELINE_UNKNOWN;
}

/* Into what was before. RSS and its peak come after what they follow. */
static void get_by_pages(struct record_cursor *c, uint64_t mask, int64_t v[PASS_VALUES])
{
	uint64_t rss = 0, peak = 0;

	for (uint64_t left = mask; left && !c->bad; left &= left - 1) {
		int i = __builtin_ctzll(left);
		uint64_t coded = record__get(c);

		if (i == TIMELINE_RSS)
			rss = coded;
		else if (i == HISTORY_PEAK_RSS)
			peak = coded;
		else
			v[i] = value_by_pages(c, coded, v[i]);
	}
	v[TIMELINE_RSS] = expected_rss(v, v[TIMELINE_RSS]);
	if (mask & RSS_BIT)
		v[TIMELINE_RSS] = value_by_pages(c, rss, v[TIMELINE_RSS]);
	v[HISTORY_PEAK_RSS] = expected_peak(v, v[HISTORY_PEAK_RSS]);
	if (mask & PEAK_BIT)
		v[HISTORY_PEAK_RSS] = value_by_pages(c, peak, v[HISTORY_PEAK_RSS]);
}

static void get_by_bytes(struct record_cursor *c, uint64_t mask, int64_t v[PASS_VALUES])
{
	for (; mask && !c->bad; mask &= mask - 1) {
		int i = __builtin_ctzll(mask);
		uint64_t coded =
			(v[i] < 0 ? 0 : (uint64_t)v[i] + 1) + (uint64_t)record__get_signed(c);

		c->bad |= coded > (uint64_t)PASS_MAX_VALUE + 1;
		v[i] = coded ? (int64_t)(coded - 1) : TIMELINE_UNKNOWN;
	}
}

static void get_entry(struct pass_reading *r, struct pass_entry *e)
{
	uint64_t mask = record__get(&r->c);

	if (mask >> PASS_VALUES)
		r->c.bad = true;
	else if (r->by_pages)
		get_by_pages(&r->c, mask, e->value);
	else
		get_by_bytes(&r->c, mask, e->value);
}

static void get_new_entry(struct pass_reading *r, struct pass_entry *e)
{
	e->id = (int64_t)r->id;
	for (int i = 0; i < PASS_VALUES; i++)
		e->value[i] = TIMELINE_UNKNOWN;
	get_entry(r, e);
}

static void skip_entry(struct pass_reading *r)
{
	int n = __builtin_popcountll(record__get(&r->c));

	while (n && r->c.at < r->c.end)
		n -= *r->c.at++ < 0x80;
	r->c.bad |= n != 0;
}

#define ENDED (-1) /* the id of one that has, until it is dropped */

static void drop_ended(struct pass_state *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->e[i].id != ENDED)
			s->e[n++] = s->e[i];
	}
	s->n = n;
}

/* Among those that are there, from the end. */
static int insert(struct pass_state *s, const struct pass_state *fresh)
{
	size_t i = s->n, to = s->n + fresh->n;
	int err = array_reserve(s->e, s->cap, to);

	if (err)
		return err;
	s->n = to;
	for (size_t j = fresh->n; j > 0;) {
		if (i && s->e[i - 1].id > fresh->e[j - 1].id)
			s->e[--to] = s->e[--i];
		else
			s->e[--to] = fresh->e[--j];
	}
	return 0;
}

static int append(struct pass_state *to, size_t others, const struct pass_entry *e)
{
	int err = to->n + others >= PASS_MAX_ENTRIES ? -EBADMSG
						     : array_reserve(to->e, to->cap, to->n + 1);

	if (!err)
		to->e[to->n++] = *e;
	return err;
}

static int apply(struct pass_state *s, struct pass_reading *r, struct pass_state *fresh)
{
	size_t i = 0, gone = 0;
	bool ended;
	int err = 0;

	while (!err && next_entry(r, &ended)) {
		while (i < s->n && s->e[i].id < (int64_t)r->id)
			i++;
		if (i < s->n && s->e[i].id == (int64_t)r->id) {
			if (!ended)
				get_entry(r, &s->e[i]);
			else
				s->e[i].id = ENDED;
			gone += ended;
			i++;
		} else if (!ended) {
			struct pass_entry e;

			get_new_entry(r, &e);
			err = append(fresh, s->n, &e);
		}
	}
	if (err || r->c.bad || r->c.at != r->c.end)
		return err ? err : -EBADMSG;
	if (gone)
		drop_ended(s);
	return fresh->n ? insert(s, fresh) : 0;
}

int pass_code__apply(struct pass_state *s, const void *data, size_t len)
{
	struct pass_state fresh = {0};
	struct pass_reading r;
	int err = begin(&r, data, len);

	if (!err)
		err = apply(s, &r, &fresh);
	if (err)
		s->n = 0;
	pass_state__clear(&fresh);
	free(r.unpacked);
	return err;
}

static int apply_one(struct pass_state *s, uint64_t id, struct pass_reading *r)
{
	bool ended, found = false;
	int err = 0;

	while (!found && next_entry(r, &ended) && r->id <= id) {
		found = r->id == id;
		if (ended)
			continue;
		if (!found) {
			skip_entry(r);
		} else if (s->n) {
			get_entry(r, s->e);
		} else {
			err = array_reserve(s->e, s->cap, 1);
			if (err)
				return err;
			s->n = 1;
			get_new_entry(r, s->e);
		}
	}
	if (found && ended)
		s->n = 0;
	return r->c.bad ? -EBADMSG : 0;
}

int pass_code__apply_one(struct pass_state *s, int64_t id, const void *data, size_t len)
{
	struct pass_reading r;
	int err = begin(&r, data, len);

	if (!err)
		err = apply_one(s, (uint64_t)id, &r);
	if (err)
		s->n = 0;
	free(r.unpacked);
	return err;
}
