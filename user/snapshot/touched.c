/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/touched.h"

#include <errno.h>
#include <stdlib.h>

#include "core/util.h"
#include "model/anon.h"
#include "model/heap.h"
#include "sys/pagemap.h"

#define GAP (256 << 10) /* blocks closer than this are looked up together */

struct touched {
	const struct observer *o;
	uint32_t target;
	struct ledger_block *block;
	size_t n, at; /* blocks before `at` end before the ranges to come */
	struct touched_site *sum;
};

static uint64_t end_of(const struct ledger_block *b)
{
	return b->addr + b->size;
}

static void take_blocks(void *arg, uint64_t start, uint64_t end)
{
	struct touched *t = arg;

	while (t->at < t->n && end_of(&t->block[t->at]) <= start)
		t->at++;
	for (size_t i = t->at; i < t->n && t->block[i].addr < end; i++) {
		const struct ledger_block *b = &t->block[i];
		uint64_t from = max_of(b->addr, start), to = min_of(end_of(b), end);

		if (from < to)
			t->sum[b->site].heap_bytes +=
				b->bytes / (double)b->size * (double)(to - from);
	}
}

static int look_at_blocks(struct touched *t, const struct pagemap *m)
{
	int err = 0;

	for (size_t i = 0, next; i < t->n && !err; i = next) {
		uint64_t end = end_of(&t->block[i]);

		for (next = i + 1; next < t->n && t->block[next].addr <= end + GAP; next++)
			end = max_of(end, end_of(&t->block[next]));
		t->at = i;
		err = pagemap__resident(m, t->block[i].addr, end, take_blocks, t);
	}
	return err;
}

static void take_mapping(void *arg, uint64_t start, uint64_t end)
{
	*(double *)arg += (double)(end - start);
}

static int look_at_mappings(struct touched *t, const struct pagemap *m)
{
	const struct anon_target *a = &observer__anon(t->o)->targets[t->target];
	int err = 0;

	for (size_t i = 0; i < a->n && !err; i++)
		err = pagemap__resident(m, a->regions[i].start, a->regions[i].end, take_mapping,
					&t->sum[a->regions[i].site].map_bytes);
	return err;
}

int touched__sum(const struct observer *o, const struct target *target, struct touched_site *sum)
{
	struct touched t = {.o = o, .target = target->index, .sum = sum};
	struct pagemap m;
	int err = target->ended ? -ESRCH : pagemap__open(target->pid, &m);

	if (err)
		return err;
	err = heap__blocks(observer__heap(o), t.target, &t.block, &t.n);
	if (!err)
		err = look_at_blocks(&t, &m);
	if (!err)
		err = look_at_mappings(&t, &m);
	free(t.block);
	pagemap__close(&m);
	return err;
}
