/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/hist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t life_limit_us[HIST_LIVES] = {10,	      100,	1000,	  HIST_TEMPORARY_US,
						   100000,    1000000,	10000000, 60000000,
						   600000000, HIST_OPEN};

_Static_assert(HIST_AGES <= TREND_COHORTS, "every cohort has its place in a series");
_Static_assert(HIST_BITS <= 64, "a bit for every bucket");

int hist__size_bucket(uint64_t bytes)
{
	int b = bytes ? 64 - __builtin_clzll(bytes) : 0;

	return b < HIST_SIZES ? b : HIST_SIZES - 1;
}

int hist__life_bucket(uint64_t life_us)
{
	int b = 0;

	while (b < HIST_LIVES - 1 && life_us >= life_limit_us[b])
		b++;
	return b;
}

uint64_t hist__size_from(int bucket)
{
	return bucket ? 1ULL << (bucket - 1) : 0;
}

uint64_t hist__size_below(int bucket)
{
	return bucket == HIST_SIZES - 1 ? HIST_OPEN : 1ULL << bucket;
}

uint64_t hist__life_from_us(int bucket)
{
	return bucket ? life_limit_us[bucket - 1] : 0;
}

uint64_t hist__life_below_us(int bucket)
{
	return life_limit_us[bucket];
}

bool hist__is_temporary(int life_bucket)
{
	return life_limit_us[life_bucket] <= HIST_TEMPORARY_US;
}

/* Where the count of a bit is, or would be. */
static int place_of(const struct hist *h, int bit)
{
	return __builtin_popcountll(h->mask & ((1ULL << bit) - 1));
}

static int add(struct hist *h, int bit, double weight)
{
	int n = __builtin_popcountll(h->mask), at = place_of(h, bit);

	if (!(h->mask >> bit & 1)) {
		double *count = realloc(h->count, (n + 1) * sizeof(*count));

		if (!count)
			return -ENOMEM;
		memmove(count + at + 1, count + at, (n - at) * sizeof(*count));
		count[at] = 0;
		h->count = count;
		h->mask |= 1ULL << bit;
	}
	h->count[at] += weight;
	return 0;
}

static double get(const struct hist *h, int bit)
{
	return h->mask >> bit & 1 ? h->count[place_of(h, bit)] : 0;
}

double hist__bit(const struct hist *h, int bit)
{
	return get(h, bit);
}

int hist__add_bit(struct hist *h, int bit, double blocks)
{
	return add(h, bit, blocks);
}

int hist__add_size(struct hist *h, uint64_t bytes, double weight)
{
	return add(h, hist__size_bucket(bytes), weight);
}

int hist__add_life(struct hist *h, uint64_t bytes, uint64_t life_us, double weight)
{
	int bucket = hist__life_bucket(life_us), err = add(h, HIST_SIZES + bucket, weight);

	if (!err && hist__is_temporary(bucket))
		h->temporary_bytes += weight * (double)bytes;
	return err;
}

double hist__size_objects(const struct hist *h, int bucket)
{
	return get(h, bucket);
}

double hist__life_objects(const struct hist *h, int bucket)
{
	return get(h, HIST_SIZES + bucket);
}

double hist__temporary_objects(const struct hist *h)
{
	double sum = 0;

	for (int i = 0; i < HIST_LIVES && hist__is_temporary(i); i++)
		sum += hist__life_objects(h, i);
	return sum;
}

int hist__merge(struct hist *to, const struct hist *from)
{
	int err = 0;

	for (int i = 0; i < HIST_BITS && !err; i++) {
		if (from->mask >> i & 1)
			err = add(to, i, get(from, i));
	}
	if (!err)
		to->temporary_bytes += from->temporary_bytes;
	return err;
}

void hist__clear(struct hist *h)
{
	free(h->count);
	memset(h, 0, sizeof(*h));
}

size_t hist__memory(const struct hist *h)
{
	return __builtin_popcountll(h->mask) * sizeof(*h->count);
}

static uint32_t age_slot(const struct hist_ages *a, uint32_t time_ms)
{
	uint32_t slot = time_ms >> a->shift;

	return slot < HIST_AGES ? slot : HIST_AGES - 1;
}

static void halve(double *slot)
{
	for (int i = 0; i < HIST_AGES / 2; i++)
		slot[i] = slot[2 * i] + slot[2 * i + 1];
	memset(slot + HIST_AGES / 2, 0, HIST_AGES / 2 * sizeof(*slot));
}

void hist_ages__widen(struct hist_ages *a, uint32_t shift)
{
	for (; a->shift < shift && a->shift < 32; a->shift++) {
		halve(a->allocated);
		halve(a->alive);
	}
}

void hist_ages__alloc(struct hist_ages *a, uint32_t time_ms, double weight)
{
	uint32_t slot;

	while (time_ms >> a->shift >= HIST_AGES)
		hist_ages__widen(a, a->shift + 1);
	slot = age_slot(a, time_ms);
	a->allocated[slot] += weight;
	a->alive[slot] += weight;
}

void hist_ages__free(struct hist_ages *a, uint32_t time_ms, double weight)
{
	a->alive[age_slot(a, time_ms)] -= weight;
}

size_t hist_ages__cohorts(const struct hist_ages *a, uint32_t now_ms, struct trend_cohort *ret)
{
	size_t n = 0;

	for (int i = HIST_AGES - 1; i >= 0; i--) {
		double end_ms = (double)((uint64_t)(i + 1) << a->shift);

		if (a->allocated[i] <= 0)
			continue;
		ret[n++] = (struct trend_cohort){.age_s = now_ms > end_ms ? (now_ms - end_ms) / 1000
									  : 0,
						 .allocated = a->allocated[i],
						 .alive = a->alive[i] > 0 ? a->alive[i] : 0};
	}
	return n;
}

void hist_total__add_size(struct hist_total *t, uint64_t bytes, double weight)
{
	int b = hist__size_bucket(bytes);

	t->size_objects[b] += weight;
	t->size_bytes[b] += weight * (double)bytes;
}

void hist_total__add_life(struct hist_total *t, uint64_t bytes, uint64_t life_us, double weight)
{
	int b = hist__life_bucket(life_us);

	t->life_objects[b] += weight;
	t->life_bytes[b] += weight * (double)bytes;
}

void hist_total__merge(struct hist_total *to, const struct hist_total *from)
{
	for (int i = 0; i < HIST_SIZES; i++) {
		to->size_objects[i] += from->size_objects[i];
		to->size_bytes[i] += from->size_bytes[i];
	}
	for (int i = 0; i < HIST_LIVES; i++) {
		to->life_objects[i] += from->life_objects[i];
		to->life_bytes[i] += from->life_bytes[i];
	}
}

void hist_total__temporary(const struct hist_total *t, double *ret_objects, double *ret_bytes)
{
	*ret_objects = *ret_bytes = 0;
	for (int i = 0; i < HIST_LIVES && hist__is_temporary(i); i++) {
		*ret_objects += t->life_objects[i];
		*ret_bytes += t->life_bytes[i];
	}
}
