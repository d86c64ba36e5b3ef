/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random sequences through model/livemap, model/anon and model/heap, each against a model so simple
 * that it is right: an array by key, a page table, a list of blocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "core/util.h"
#include "model/anon.h"
#include "model/heap.h"

#define PAGE 4096ULL
#define PAGES 256
#define TARGETS 3
#define SITES 8
#define BLOCKS 200

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 16) % below;
}

/* --- livemap --- */

struct sum {
	size_t n;
	uint64_t keys;
};

static void add_up(void *arg, const struct livemap_block *b)
{
	struct sum *s = arg;

	s->n++;
	s->keys += b->key * 31 + b->size;
}

static void livemap_is_a_table(void **state)
{
	enum { KEYS = 5000, MAX = 3000 };
	static uint64_t size_of[KEYS];
	struct livemap m;
	struct livemap_block b, old;
	size_t n = 0;

	seed = 1;
	livemap__init(&m, MAX);
	memset(size_of, 0, sizeof(size_of));
	for (int step = 0; step < 300000; step++) {
		uint32_t k = rnd(KEYS), grows = step / 30000 % 2 ? 35 : 65;

		b = (struct livemap_block){.key = k * 16 + 16, .size = 1 + rnd(1000), .site = k};
		if (rnd(100) < grows) {
			int r = livemap__put(&m, &b, &old);

			assert_int_equal(r, size_of[k] ? 1 : n == MAX ? -ENOSPC : 0);
			if (r == 1)
				assert_int_equal(old.size, size_of[k]);
			n += !r;
			size_of[k] = r < 0 ? 0 : b.size;
		} else {
			assert_int_equal(livemap__take(&m, b.key, &old), size_of[k] != 0);
			if (size_of[k]) {
				assert_int_equal(old.size, size_of[k]);
				assert_int_equal(old.site, k);
				n--;
			}
			size_of[k] = 0;
		}
		assert_int_equal(m.n, n);
		if (step % 1000)
			continue;
		struct sum is = {0}, should = {0};

		livemap__each(&m, add_up, &is);
		for (uint32_t i = 0; i < KEYS; i++) {
			const struct livemap_block *f = livemap__find(&m, i * 16 + 16);

			assert_int_equal(f ? f->size : 0, size_of[i]);
			if (f)
				add_up(&should, f);
		}
		assert_memory_equal(&is, &should, sizeof(is));
		assert_true(livemap__memory(&m) <= MAX * 64 + LIVEMAP_SHARDS * 16 * 24 * 4);
	}
	livemap__fini(&m);
}

/* --- anon --- */

static uint32_t page_site[TARGETS][PAGES]; /* site + 1; 0: not mapped, or not known */

static void set_pages(uint32_t t, uint64_t from, uint64_t n, uint32_t site)
{
	for (uint64_t i = from; i < from + n && i < PAGES; i++)
		page_site[t][i] = site;
}

static void anon_event(struct heap *h, struct anon *a, uint32_t t)
{
	uint64_t from = rnd(PAGES - 40), n = 1 + rnd(40), to = rnd(PAGES - 40), m = 1 + rnd(40);
	uint64_t stack = 1 + rnd(SITES);
	uint32_t site = heap__site_for(h, t, stack) + 1;
	struct mw_ev_map ev = {.hdr = {.type = MW_EV_MAP, .target = t},
			       .addr = (from + 1) * PAGE,
			       .size = n * PAGE,
			       .stack = stack};

	switch (rnd(5)) {
	case 0:
		ev.hdr.kind = MW_MAP_MMAP;
		set_pages(t, from, n, site);
		break;
	case 1:
		ev.hdr.kind = MW_MAP_MUNMAP;
		set_pages(t, from, n, 0);
		break;
	case 2: /* moved, grown, shrunk; where it goes nothing stays */
		if (to < from + n && from < to + m)
			to = from, m = max_of(n, m);
		ev.hdr.kind = MW_MAP_MREMAP;
		ev.old_addr = ev.addr;
		ev.old_size = ev.size;
		ev.addr = (to + 1) * PAGE;
		ev.size = m * PAGE;
		site = page_site[t][from];
		set_pages(t, from, n, 0);
		set_pages(t, to, m, site);
		break;
	default:
		ev.hdr.kind = MW_MAP_BRK;
		ev.old_addr = ev.addr;
		ev.addr = (to + 1) * PAGE;
		if (to > from)
			set_pages(t, from, to - from, site);
		else
			set_pages(t, to, from - to, 0);
	}
	anon__event(a, &ev);
}

static void compare_pages(const struct heap *h, const struct anon *a)
{
	uint64_t per_site[TARGETS * SITES + TARGETS + 1] = {0};

	for (uint32_t t = 0; t < TARGETS; t++) {
		const struct anon_target *at = &a->targets[t];
		uint64_t bytes = 0;
		size_t k = 0;

		for (uint64_t i = 0; i < PAGES; i++) {
			while (k < at->n && at->regions[k].end <= (i + 1) * PAGE)
				k++;
			assert_int_equal(k < at->n && at->regions[k].start <= (i + 1) * PAGE
						 ? at->regions[k].site + 1
						 : 0,
					 page_site[t][i]);
			if (!page_site[t][i])
				continue;
			bytes += PAGE;
			per_site[page_site[t][i] - 1] += PAGE;
		}
		for (k = 0; k < at->n; k++) {
			assert_true(at->regions[k].start < at->regions[k].end);
			assert_true(!k || at->regions[k - 1].end <= at->regions[k].start);
		}
		assert_int_equal(anon__mapped_bytes(a, t), bytes);
	}
	for (size_t i = 0; i < h->nsites; i++)
		assert_int_equal(h->sites[i].map_bytes - h->sites[i].unmap_bytes, per_site[i]);
}

static struct heap *some_heap(uint64_t sample_bytes)
{
	struct heap_opts o = {.sample_bytes = sample_bytes};
	struct heap *h = NULL;
	uint32_t frame = 1, site;

	assert_int_equal(heap__new(&o, &h), 0);
	for (uint32_t t = 0; t < TARGETS; t++) {
		for (uint64_t s = 1; s <= SITES; s++)
			assert_int_equal(heap__stack(h, t, s, 0, &frame, 1, &site), 0);
	}
	return h;
}

static void drop_pages(struct heap *h, struct anon *a, uint32_t t)
{
	uint32_t frame = 1, site, to[4096];

	anon__drop_target(a, t);
	heap__drop_target(h, t);
	set_pages(t, 0, PAGES, 0);
	assert_true(h->nsites <= ARRAY_SIZE(to));
	heap__compact(h, to);
	anon__renumber(a, to);
	for (uint32_t k = 0; k < TARGETS; k++) {
		for (uint32_t i = 0; i < PAGES; i++) {
			if (page_site[k][i])
				page_site[k][i] = to[page_site[k][i] - 1] + 1;
		}
	}
	for (uint64_t s = 1; s <= SITES; s++)
		assert_int_equal(heap__stack(h, t, s, 0, &frame, 1, &site), 0);
}

static void anon_is_a_page_table(void **state)
{
	for (uint64_t round = 1; round <= 30; round++) {
		struct heap *h = some_heap(1);
		struct anon *a = NULL;

		seed = round * 0x9e3779b97f4a7c15ULL;
		memset(page_site, 0, sizeof(page_site));
		assert_int_equal(anon__new(h, &a), 0);
		for (int n = 0; n < 400; n++) {
			uint32_t t = rnd(TARGETS), child = (t + 1) % TARGETS;

			if (rnd(60) == 0) { /* let go; another has its index */
				drop_pages(h, a, t);
			} else if (rnd(60) == 0) { /* exec */
				anon__clear_target(a, t);
				set_pages(t, 0, PAGES, 0);
			} else if (rnd(60) == 0) { /* a process ended and another is a child of t */
				anon__clear_target(a, child);
				anon__fork(a, t, child);
				for (uint32_t i = 0; i < PAGES; i++) {
					uint32_t s = page_site[t][i];

					page_site[child][i] =
						!s ? 0
						   : heap__site_for(h, child,
								    h->sites[s - 1].stack) +
								1;
				}
			} else {
				anon_event(h, a, t);
			}
			compare_pages(h, a);
		}
		anon__free(a);
		heap__free(h);
	}
}

/* --- heap --- */

struct block {
	uint64_t size, stack;
	double weight; /* how many blocks it stands for; 0: not live */
};
static struct block blocks[TARGETS][BLOCKS];

struct books {
	double allocs, frees;
	uint64_t implied, unknown;
};
static struct books books[TARGETS];

static uint64_t block_addr(uint32_t i)
{
	return (i + 1) * 64;
}

static void do_alloc(struct heap *h, uint32_t t, uint32_t i, uint32_t tid, uint64_t rate)
{
	struct mw_ev_alloc ev = {.hdr = {.type = MW_EV_ALLOC, .target = t, .tid = tid},
				 .addr = block_addr(i),
				 .size = 1 + rnd(3000),
				 .stack = rnd(SITES + 1)};

	heap__alloc(h, &ev);
	if (blocks[t][i].weight > 0) {
		books[t].implied++;
		books[t].frees += blocks[t][i].weight;
	}
	blocks[t][i] = (struct block){ev.size, ev.stack, heap__weight(ev.size, rate)};
	books[t].allocs += blocks[t][i].weight;
}

static void do_free(struct heap *h, uint32_t t, uint32_t i, uint32_t tid, uint64_t flags)
{
	heap__dealloc(h, &(struct mw_ev_free){.hdr = {.type = MW_EV_FREE, .target = t, .tid = tid},
					      .addr = block_addr(i),
					      .flags = flags});
	if (blocks[t][i].weight > 0)
		books[t].frees += blocks[t][i].weight;
	else
		books[t].unknown++;
	blocks[t][i].weight = 0;
}

/* Some allocators free the old block by their own free; of those that fail, none has. */
static void do_realloc(struct heap *h, uint32_t t, uint32_t i, uint32_t tid, uint64_t rate)
{
	struct block old = blocks[t][i];
	uint64_t unknown = books[t].unknown;

	do_free(h, t, i, tid, MW_FREE_REALLOC);
	if (rnd(3) == 0) { /* other threads come between */
		do_alloc(h, t, (i + 1) % BLOCKS, tid + 1, rate);
		do_free(h, t, (i + 2) % BLOCKS, tid + 2, 0);
	}
	if (rnd(3) == 0) {
		heap__undealloc(h, &(struct mw_ev_free){
					   .hdr = {.type = MW_EV_UNFREE, .target = t, .tid = tid},
					   .addr = block_addr(i)});
		blocks[t][i] = old;
		books[t].frees -= old.weight;
		if (old.weight == 0)
			books[t].unknown -= books[t].unknown - unknown > 0;
		return;
	}
	if (old.weight > 0 && rnd(4) == 0) {
		uint64_t before = books[t].unknown;

		do_free(h, t, i, tid, 0);
		books[t].unknown = before; /* it is no second free */
	}
	do_alloc(h, t, rnd(2) ? i : rnd(BLOCKS), tid, rate);
}

static void do_fork(struct heap *h, uint32_t parent, uint32_t child)
{
	heap__clear_target(h, child);
	for (uint32_t i = 0; i < BLOCKS; i++)
		books[child].frees += blocks[child][i].weight;
	assert_int_equal(heap__fork(h, parent, child), 0);
	memcpy(blocks[child], blocks[parent], sizeof(blocks[child]));
	for (uint32_t i = 0; i < BLOCKS; i++)
		books[child].allocs += blocks[child][i].weight;
}

static void compare_heap(struct heap *h)
{
	double site_bytes[TARGETS][SITES + 1] = {0};
	size_t n = 0;

	for (uint32_t t = 0; t < TARGETS; t++) {
		struct ledger_block *list = NULL;
		size_t got = 0, want = 0;

		for (uint32_t i = 0; i < BLOCKS; i++) {
			const struct block *b = &blocks[t][i];

			site_bytes[t][b->stack] += b->weight * b->size;
			want += b->weight > 0;
		}
		assert_int_equal(heap__blocks(h, t, &list, &got), 0);
		assert_int_equal(got, want);
		free(list);
		n += want;
		assert_true(fabs(h->targets[t].alloc_objects - books[t].allocs) < 1e-3);
		assert_true(fabs(h->targets[t].free_objects - books[t].frees) < 1e-3);
		assert_int_equal(h->targets[t].implied_frees, books[t].implied);
		assert_int_equal(h->targets[t].unknown_frees, books[t].unknown);
	}
	assert_int_equal(h->live.n, n);
	for (size_t i = 0; i < h->nsites; i++) {
		const struct heap_site *s = &h->sites[i];

		if (s->target >= TARGETS)
			continue; /* dropped */
		assert_true(fabs(heap_site__inuse_bytes(s) - site_bytes[s->target][s->stack]) <
			    1e-2);
		assert_true(s->alloc_samples >= s->free_samples);
	}
}

/* A process is let go and another has its index; now and then the tables are compacted. */
static void do_drop(struct heap *h, uint32_t t)
{
	uint32_t frame[2] = {t, 0}, site, to[4096];

	heap__drop_target(h, t);
	memset(&books[t], 0, sizeof(books[t]));
	memset(blocks[t], 0, sizeof(blocks[t]));
	if (rnd(2)) {
		assert_true(h->nsites <= ARRAY_SIZE(to));
		heap__compact(h, to);
		assert_int_equal(h->ndropped, 0);
	}
	for (uint64_t s = 1; s <= SITES; s++) {
		frame[1] = s;
		assert_int_equal(heap__stack(h, t, s, 0, frame, 2, &site), 0);
	}
	/* What is left is what was there: by the frames that each stack came with. */
	for (uint32_t i = 0; i < h->nsites; i++) {
		const uint32_t *f = heap__site_frames(h, &h->sites[i]);

		if (h->sites[i].target < TARGETS && h->sites[i].nframes == 2)
			assert_true(f[0] == h->sites[i].target && f[1] == h->sites[i].stack);
	}
}

static void heap_is_a_list_of_blocks(void **state)
{
	static const uint64_t rates[] = {1, 500, 4000};

	for (uint64_t round = 1; round <= 30; round++) {
		uint64_t rate = rates[round % 3];
		struct heap *h = some_heap(rate);

		seed = round * 0x9e3779b97f4a7c15ULL;
		memset(blocks, 0, sizeof(blocks));
		memset(books, 0, sizeof(books));
		for (int n = 0; n < 3000; n++) {
			uint32_t t = rnd(TARGETS), i = rnd(BLOCKS), tid = 100 + 10 * rnd(5);

			switch (rnd(100)) {
			case 0: do_fork(h, t, (t + 1) % TARGETS); break;
			case 1:
				heap__clear_target(h, t);
				for (i = 0; i < BLOCKS; i++) {
					books[t].frees += blocks[t][i].weight;
					blocks[t][i].weight = 0;
				}
				break;
			case 2:
				if (rate > 1)
					rate = rates[1 + rnd(2)];
				heap__set_rate(h, rate, 0);
				break;
			case 3: do_drop(h, t); break;
			case 4 ... 45: do_alloc(h, t, i, tid, rate); break;
			case 46 ... 75: do_free(h, t, i, tid, 0); break;
			default: do_realloc(h, t, i, tid, rate);
			}
			if (n % 20 == 0)
				compare_heap(h);
		}
		compare_heap(h);
		heap__free(h);
	}
}

/* A lost event put another block where a failed realloc brings its own back. */
static void a_block_in_the_way_of_a_failed_realloc(void **state)
{
	struct heap *h = some_heap(1);
	struct mw_ev_free f = {.hdr = {.tid = 1}, .addr = 64, .flags = MW_FREE_REALLOC};

	heap__alloc(h, &(struct mw_ev_alloc){.hdr = {.tid = 1}, .addr = 64, .size = 10});
	heap__dealloc(h, &f);
	heap__alloc(h, &(struct mw_ev_alloc){.hdr = {.tid = 2}, .addr = 64, .size = 70});
	heap__undealloc(h, &f);
	assert_int_equal(h->live.n, 1);
	assert_true(h->targets[0].alloc_bytes - h->targets[0].free_bytes == 10);
	assert_int_equal(h->targets[0].implied_frees, 1);
	heap__free(h);
}

/* What a child has no room for is counted as lost. */
static void a_fork_beyond_the_cap_is_told(void **state)
{
	struct heap_opts o = {.sample_bytes = 1, .max_blocks = 100};
	struct heap *h = NULL;

	assert_int_equal(heap__new(&o, &h), 0);
	for (uint64_t i = 1; i <= 80; i++)
		heap__alloc(h, &(struct mw_ev_alloc){.addr = i * 64, .size = 10});
	heap__fork(h, 0, 1);
	assert_int_equal(h->live.n, 100);
	assert_int_equal(h->targets[1].alloc_samples + h->targets[1].lost_blocks, 80);
	assert_int_equal(h->targets[1].lost_bytes, 600);
	heap__free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(livemap_is_a_table),
		cmocka_unit_test(anon_is_a_page_table),
		cmocka_unit_test(heap_is_a_list_of_blocks),
		cmocka_unit_test(a_block_in_the_way_of_a_failed_realloc),
		cmocka_unit_test(a_fork_beyond_the_cap_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
