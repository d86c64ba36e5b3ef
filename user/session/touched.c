/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "session/touched.h"

#include <errno.h>
#include <stdlib.h>

#include "core/util.h"
#include "sys/pagemap.h"

#define GAP (256 << 10) /* blocks closer than this are looked up together */

struct block {
	uint64_t start, end;
	double weight;
	uint32_t site;
};

struct touched {
	const struct session *s;
	uint32_t target;
	struct block *block;
	size_t n, cap, at; /* blocks before `at` end before the ranges to come */
	int err;
	struct touched_site *sum;
};

static void collect(void *arg, const struct livemap_block *b)
{
	struct touched *t = arg;
	const struct heap *h = t->s->heap;

	if (b->key >> MW_ADDR_BITS != t->target || !b->size || t->err)
		return;
	t->err = array_reserve(t->block, t->cap, t->n + 1);
	if (t->err)
		return;
	t->block[t->n].start = b->key & ((1ULL << MW_ADDR_BITS) - 1);
	t->block[t->n].end = t->block[t->n].start + b->size;
	t->block[t->n].weight = heap__weight(b->size, h->rates[b->rate].sample_bytes);
	t->block[t->n++].site = b->site;
}

static int by_start(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void take_blocks(void *arg, uint64_t start, uint64_t end)
{
	struct touched *t = arg;

	while (t->at < t->n && t->block[t->at].end <= start)
		t->at++;
	for (size_t i = t->at; i < t->n && t->block[i].start < end; i++) {
		const struct block *b = &t->block[i];
		uint64_t from = max_of(b->start, start), to = min_of(b->end, end);

		if (from < to)
			t->sum[b->site].heap_bytes += b->weight * (double)(to - from);
	}
}

static int look_at_blocks(struct touched *t, const struct pagemap *m)
{
	int err = 0;

	for (size_t i = 0, next; i < t->n && !err; i = next) {
		uint64_t end = t->block[i].end;

		for (next = i + 1; next < t->n && t->block[next].start <= end + GAP; next++)
			end = max_of(end, t->block[next].end);
		t->at = i;
		err = pagemap__resident(m, t->block[i].start, end, take_blocks, t);
	}
	return err;
}

static void take_mapping(void *arg, uint64_t start, uint64_t end)
{
	*(double *)arg += (double)(end - start);
}

static int look_at_mappings(struct touched *t, const struct pagemap *m)
{
	const struct anon_target *a = &t->s->anon->targets[t->target];
	int err = 0;

	for (size_t i = 0; i < a->n && !err; i++)
		err = pagemap__resident(m, a->regions[i].start, a->regions[i].end, take_mapping,
					&t->sum[a->regions[i].site].map_bytes);
	return err;
}

int touched__sum(struct session *s, const struct session_target *target, struct touched_site *sum)
{
	struct touched t = {.s = s, .target = target->index, .sum = sum};
	struct pagemap m;
	int err = target->ended ? -ESRCH : pagemap__open(target->pid, &m);

	if (err)
		return err;
	livemap__each(&s->heap->live, collect, &t);
	err = t.err;
	if (!err && t.n) {
		qsort(t.block, t.n, sizeof(*t.block), by_start);
		err = look_at_blocks(&t, &m);
	}
	if (!err)
		err = look_at_mappings(&t, &m);
	free(t.block);
	pagemap__close(&m);
	return err;
}
