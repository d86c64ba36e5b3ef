/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/record_hist.h"

#include <math.h>
#include <stdlib.h>

#define TEMPORARY_BIT HIST_BITS /* temporary_bytes, beside the buckets */
#define LIFE_CELLS (2 * HIST_LIVES)
#define MAX_SHIFT 29 /* eight slots of that width are all that 32 bits of milliseconds hold */

_Static_assert(HIST_BITS < 64 && HIST_SIZES == 32 && LIFE_CELLS < 64 && HIST_AGES == 8,
	       "the file's masks");

void record_hists__clear(struct record_hists *h)
{
	for (size_t i = 0; i < h->n; i++) {
		hist__clear(&h->hist[i]);
		free(h->ages[i]);
	}
	free(h->hist);
	free(h->ages);
	*h = (struct record_hists){0};
}

int record_hists__reserve(struct record_hists *h, size_t n)
{
	int err = array_reserve(h->hist, h->hist_cap, n);

	if (!err)
		err = array_reserve(h->ages, h->ages_cap, n);
	for (; !err && h->n < n; h->n++) {
		h->hist[h->n] = (struct hist){0};
		h->ages[h->n] = NULL;
	}
	return err;
}

/* A count as the file has it. */
static double whole(double v)
{
	return isfinite(v) ? round(fmax(-0x1p61, fmin(v, 0x1p61))) : 0;
}

static void put_section(struct record_bytes *out, int id, const struct record_bytes *s)
{
	if (s->err)
		out->err = s->err;
	if (!s->n)
		return;
	record__put(out, id);
	record__put(out, s->n);
	record__put_raw(out, s->data, s->n);
}

/* --- sizes and lifetimes of a stack --- */

static int put_hist(struct record_bytes *out, struct hist *was, const struct hist *now,
		    uint64_t step)
{
	int64_t change[HIST_BITS + 1];
	uint64_t mask = 0;
	double v;
	int err = 0;

	for (int i = 0; i < HIST_BITS; i++) {
		if (!((was->mask | now->mask) >> i & 1))
			continue;
		v = whole(hist__bit(now, i)) - hist__bit(was, i);
		change[i] = (int64_t)v;
		mask |= (uint64_t)(v != 0) << i;
	}
	v = whole(now->temporary_bytes) - was->temporary_bytes;
	change[TEMPORARY_BIT] = (int64_t)v;
	mask |= (uint64_t)(v != 0) << TEMPORARY_BIT;
	if (!mask)
		return 0;
	record__put(out, step);
	record__put(out, mask);
	for (int i = 0; i <= TEMPORARY_BIT && !err; i++) {
		if (!(mask >> i & 1))
			continue;
		record__put_signed(out, change[i]);
		if (i == TEMPORARY_BIT)
			was->temporary_bytes += (double)change[i];
		else
			err = hist__add_bit(was, i, (double)change[i]);
	}
	return err ? err : 1;
}

/* What the samples of one stack have together; most stacks are one sample. */
static int gather(const struct profile *p, const uint32_t *id, const struct hist **now,
		  struct hist *sums)
{
	int err = 0;

	for (size_t i = 0; i < p->nhists && !err; i++) {
		const struct hist *h = &p->hists[i].hist;
		uint32_t stack = id[p->hists[i].sample];

		if (!now[stack]) {
			now[stack] = h;
			continue;
		}
		if (now[stack] != &sums[stack])
			err = hist__merge(&sums[stack], now[stack]);
		if (!err)
			err = hist__merge(&sums[stack], h);
		now[stack] = &sums[stack];
	}
	return err;
}

static int put_hists(struct record_hists *h, struct record_bytes *out, const struct profile *p,
		     const uint32_t *id, size_t nstacks)
{
	cleanup_free const struct hist **now = calloc(nstacks + 1, sizeof(*now));
	cleanup_free struct hist *sums = calloc(nstacks + 1, sizeof(*sums));
	int err = now && sums ? gather(p, id, now, sums) : -ENOMEM;
	size_t before = 0;

	for (size_t i = 0; i < nstacks && !err; i++) {
		int r = now[i] ? put_hist(out, &h->hist[i], now[i], i - before) : 0;

		if (r > 0)
			before = i;
		err = r < 0 ? r : 0;
	}
	for (size_t i = 0; sums && i < nstacks; i++)
		hist__clear(&sums[i]);
	return err;
}

static int add_hists(struct record_hists *h, struct record_cursor *c)
{
	uint64_t at = 0;
	int err = 0;

	while (c->at < c->end && !err) {
		uint64_t mask;

		at += record__get(c);
		mask = record__get(c);
		for (int i = 0; i <= TEMPORARY_BIT && !err; i++) {
			double change;

			if (!(mask >> i & 1))
				continue;
			change = (double)record__get_signed(c);
			if (i == TEMPORARY_BIT)
				h->hist[at].temporary_bytes += change;
			else
				err = hist__add_bit(&h->hist[at], i, change);
		}
	}
	return err;
}

/* --- of the process --- */

/* The cells in the file's order: 64 of sizes, then LIFE_CELLS of lifetimes. */
static double *total_cell(struct hist_total *t, int i)
{
	if (i < HIST_SIZES)
		return &t->size_objects[i];
	if (i < 2 * HIST_SIZES)
		return &t->size_bytes[i - HIST_SIZES];
	i -= 2 * HIST_SIZES;
	return i < HIST_LIVES ? &t->life_objects[i] : &t->life_bytes[i - HIST_LIVES];
}

static void put_total(struct record_hists *h, struct record_bytes *out,
		      const struct hist_total *now)
{
	struct hist_total copy = *now;
	uint64_t mask[2] = {0};

	for (int i = 0; i < 2 * HIST_SIZES + LIFE_CELLS; i++) {
		double v = whole(*total_cell(&copy, i));

		*total_cell(&copy, i) = v;
		mask[i / 64] |= (uint64_t)(v != *total_cell(&h->total, i)) << i % 64;
	}
	if (!mask[0] && !mask[1])
		return;
	record__put(out, mask[0]);
	record__put(out, mask[1]);
	for (int i = 0; i < 2 * HIST_SIZES + LIFE_CELLS; i++)
		if (mask[i / 64] >> i % 64 & 1)
			record__put_signed(
				out, (int64_t)(*total_cell(&copy, i) - *total_cell(&h->total, i)));
	h->total = copy;
}

static void add_total(struct record_hists *h, struct record_cursor *c)
{
	uint64_t mask[2];

	mask[0] = record__get(c);
	mask[1] = record__get(c);
	for (int i = 0; i < 2 * HIST_SIZES + LIFE_CELLS; i++)
		if (mask[i / 64] >> i % 64 & 1)
			*total_cell(&h->total, i) += (double)record__get_signed(c);
}

/* --- ages --- */

static int put_ages_of(struct record_bytes *out, struct hist_ages **slot,
		       const struct hist_ages *now, uint64_t step)
{
	struct hist_ages *was = *slot ? *slot : (*slot = calloc(1, sizeof(*was)));
	uint64_t mask = 0;
	bool wider;

	if (!was)
		return -ENOMEM;
	wider = was->shift != now->shift;
	hist_ages__widen(was, now->shift);
	for (int i = 0; i < HIST_AGES; i++) {
		mask |= (uint64_t)(whole(now->allocated[i]) != was->allocated[i]) << i;
		mask |= (uint64_t)(whole(now->alive[i]) != was->alive[i]) << (HIST_AGES + i);
	}
	if (!mask && !wider)
		return 0;
	record__put(out, step);
	record__put(out, now->shift);
	record__put(out, mask);
	for (int i = 0; i < 2 * HIST_AGES; i++) {
		double *old = i < HIST_AGES ? &was->allocated[i] : &was->alive[i - HIST_AGES];
		double v = whole(i < HIST_AGES ? now->allocated[i] : now->alive[i - HIST_AGES]);

		if (mask >> i & 1)
			record__put_signed(out, (int64_t)(v - *old));
		*old = v;
	}
	return 1;
}

static int put_ages(struct record_hists *h, struct record_bytes *out, const struct profile *p,
		    const uint32_t *id, size_t nstacks)
{
	cleanup_free const struct hist_ages **now = calloc(nstacks + 1, sizeof(*now));
	size_t before = 0;
	int err = now ? 0 : -ENOMEM;

	/* (of two samples of one stack the first speaks for both) */
	for (size_t i = p->nages; i-- > 0 && !err;)
		now[id[p->ages[i].sample]] = &p->ages[i].ages;
	if (!err && p->nages)
		record__put(out, p->ages_ms);
	for (size_t i = 0; i < nstacks && !err; i++) {
		int r = now[i] ? put_ages_of(out, &h->ages[i], now[i], i - before) : 0;

		if (r > 0)
			before = i;
		err = r < 0 ? r : 0;
	}
	return err;
}

static int add_ages(struct record_hists *h, struct record_cursor *c)
{
	uint64_t at = 0;

	h->ages_ms = (uint32_t)record__get(c);
	while (c->at < c->end) {
		struct hist_ages *a;
		uint64_t shift, mask;

		at += record__get(c);
		shift = record__get(c);
		mask = record__get(c);
		a = h->ages[at] ? h->ages[at] : (h->ages[at] = calloc(1, sizeof(*a)));
		if (!a)
			return -ENOMEM;
		hist_ages__widen(a, (uint32_t)shift);
		for (int i = 0; i < 2 * HIST_AGES; i++)
			if (mask >> i & 1)
				*(i < HIST_AGES ? &a->allocated[i] : &a->alive[i - HIST_AGES]) +=
					(double)record__get_signed(c);
	}
	return 0;
}

/* --- sections --- */

void record_hists__put(struct record_hists *h, struct record_bytes *out, const struct profile *p,
		       const uint32_t *id, size_t nstacks)
{
	struct record_bytes s = {0};

	if (!out->err)
		out->err = record_hists__reserve(h, nstacks);
	if (out->err)
		return;
	s.err = put_hists(h, &s, p, id, nstacks);
	put_section(out, RECORD_HISTS, &s);
	s.n = 0;
	if (p->hist_total)
		put_total(h, &s, p->hist_total);
	put_section(out, RECORD_TOTAL, &s);
	s.n = 0;
	s.err = s.err ? s.err : put_ages(h, &s, p, id, nstacks);
	put_section(out, RECORD_AGES, &s);
	free(s.data);
}

bool record_hists__check(uint64_t id, struct record_cursor c, size_t nstacks)
{
	uint64_t at = 0, mask[2];

	if (id == RECORD_TOTAL) {
		mask[0] = record__get(&c);
		mask[1] = record__get(&c);
		for (int n = __builtin_popcountll(mask[0]) + __builtin_popcountll(mask[1]); n > 0;
		     n--)
			record__get(&c);
		return !c.bad && c.at == c.end && !(mask[1] >> LIFE_CELLS);
	}
	if (id != RECORD_HISTS && id != RECORD_AGES)
		return true;
	if (id == RECORD_AGES)
		record__get(&c);
	while (!c.bad && c.at < c.end) {
		uint64_t step = record__get(&c);

		if (step >= nstacks - at)
			return false;
		at += step;
		if (id == RECORD_AGES && record__get(&c) > MAX_SHIFT)
			return false;
		mask[0] = record__get(&c);
		if (mask[0] >> (id == RECORD_AGES ? 2 * HIST_AGES : TEMPORARY_BIT + 1))
			return false;
		for (int n = __builtin_popcountll(mask[0]); n > 0; n--)
			record__get(&c);
	}
	return !c.bad;
}

int record_hists__add(struct record_hists *h, uint64_t id, struct record_cursor c)
{
	switch (id) {
	case RECORD_HISTS: return add_hists(h, &c);
	case RECORD_AGES: return add_ages(h, &c);
	case RECORD_TOTAL: add_total(h, &c); break;
	}
	return 0;
}
