/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/musl_heap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define PAGE 4096ULL
#define UNIT 16
#define HEADER 4 /* of a slot, before what the program has */
#define CLASSES 48
#define CLASS_ALONE 63 /* a mapping for one block */
#define MAX_SLOTS 32
#define MAX_PAGES (1u << 16) /* of descriptors: 100 for each */
#define MAX_DATA (32ULL << 20)
#define WINDOW 4096
#define MAX_LOOKUPS (1u << 16)
#define NESTED 6 /* instead of the bytes left over in a slot: it holds a group */
#define OFFSET 7 /* instead of those: the block begins later in the slot */
#define LONG 5	 /* so many or more bytes are left over: they stand at the slot's end */

/* Slots are so many units long. */
static const uint16_t class_units[CLASSES] = {
	1,   2,	  3,   4,    5,	   6,	 7,    8,    9,	   10,	 12,   15,   18,   20,	 25,   31,
	36,  42,  50,  63,   72,   84,	 102,  127,  146,  170,	 204,  255,  292,  340,	 409,  511,
	584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191,
};

struct meta { /* a group's descriptor */
	uint64_t prev, next, mem;
	uint32_t avail, freed; /* masks of free slots */
	uint64_t bits;	       /* last slot 5, may be freed 1, class 6, pages 52 */
};

struct meta_page {
	uint64_t secret, next;
	uint32_t n, pad;
	struct meta meta[(PAGE - 24) / sizeof(struct meta)];
};

struct group {
	uint64_t start, end, stride;
	uint32_t used, nested; /* masks of slots */
	uint8_t nslots;
	bool top; /* not in another group's slot */
};

struct musl_walk {
	const struct heap_memory *m;
	struct ledger_share *share;
	uint64_t secret, first; /* page of descriptors */
	struct group *group;
	size_t ngroups, cap;
	uint64_t pages;
	bool *taken; /* live blocks that lie in slots */
	size_t lookups;
};

static int read_at(const struct musl_walk *w, uint64_t addr, void *buf, size_t len)
{
	return heap_memory__read_kept(w->m, addr, buf, len);
}

/* --- where it is --- */

static bool is_page(uint64_t addr)
{
	return addr >= PAGE && !(addr & (PAGE - 1)) && addr < 1ULL << 47;
}

/* Is word[0] the secret of a heap whose first page of descriptors word[at] points to? */
static bool try_context(struct musl_walk *w, const uint64_t *word, size_t at)
{
	uint64_t secret;

	if (!word[0] || !is_page(word[at]) || !is_page(word[at + 1]) || !w->lookups)
		return false;
	w->lookups--;
	if (read_at(w, word[at], &secret, sizeof(secret)) || secret != word[0])
		return false;
	w->secret = secret;
	w->first = word[at];
	return true;
}

/* Looks through [start, end), of which what is resident is read. */
static int scan_data(struct musl_walk *w, uint64_t start, uint64_t end)
{
	uint64_t word[(WINDOW + 80) / 8];

	for (uint64_t at = start & ~(PAGE - 1); at < end; at += WINDOW) {
		memset(word, 0, sizeof(word));
		if (read_at(w, at, word, WINDOW))
			continue;
		/* what lies across the page's end is seen with what of the next there is */
		read_at(w, at + WINDOW, (char *)word + WINDOW, sizeof(word) - WINDOW);
		for (size_t i = 0; i < WINDOW / 8; i++) {
			if (try_context(w, word + i, 7) || try_context(w, word + i, 8))
				return 0;
		}
	}
	return -ENOENT;
}

static int find_context(struct musl_walk *w)
{
	const struct ledger_input *maps = w->m->maps;

	for (size_t i = 0; i < maps->n; i++) {
		const struct ledger_map *m = &maps->map[i];
		uint64_t end;

		if (*m->path != '/' || strncmp(m->perms, "rw-p", 4))
			continue;
		end = min_of(heap_memory__data_end(maps, i), m->start + MAX_DATA);
		if (!scan_data(w, m->start, end))
			return 0;
	}
	return -ENOENT;
}

/* --- its groups --- */

static uint64_t stride_of(unsigned class, unsigned last, uint64_t pages)
{
	if (!last && pages)
		return pages * PAGE - UNIT;
	return class < CLASSES ? (uint64_t)class_units[class] * UNIT : 0;
}

/* 0; -EBADMSG: this is no descriptor of a group, or not any more. */
static int add_group(struct musl_walk *w, uint64_t addr, const struct meta *d)
{
	unsigned last = d->bits & 31, class = d->bits >> 6 & 63;
	uint64_t pages = d->bits >> 12, back;
	struct group g = {.start = d->mem, .nslots = (uint8_t)(last + 1), .top = true};

	g.stride = stride_of(class, last, pages);
	if (d->mem & (UNIT - 1) || d->mem >= 1ULL << 47 || !g.stride || pages > 1ULL << 35 ||
	    (class >= CLASSES && (class != CLASS_ALONE || last)))
		return -EBADMSG;
	g.end = g.start + (pages ? pages * PAGE : UNIT + g.stride * g.nslots);
	g.used = ~(d->avail | d->freed) & (uint32_t)((2ULL << last) - 1);
	if (g.end < g.start + UNIT + g.stride * g.nslots)
		return -EBADMSG;
	if (read_at(w, g.start, &back, sizeof(back)) || back != addr)
		return -EBADMSG;
	if (array_reserve(w->group, w->cap, w->ngroups + 1))
		return -ENOMEM;
	w->group[w->ngroups++] = g;
	return 0;
}

static int add_page(struct musl_walk *w, uint64_t addr, const struct meta_page *page)
{
	for (uint32_t i = 0; i < page->n; i++) {
		const struct meta *d = &page->meta[i];
		int err = d->mem ? add_group(w, addr + 24 + i * sizeof(*d), d) : 0;

		if (err == -ENOMEM)
			return err;
		w->share->failed += err != 0;
	}
	return 0;
}

static int read_groups(struct musl_walk *w)
{
	struct meta_page page;
	uint64_t at = w->first;

	for (; at && w->pages < MAX_PAGES; w->pages++) {
		int err = is_page(at)
				  ? read_at(w, at, &page, sizeof(page) < PAGE ? sizeof(page) : PAGE)
				  : -EBADMSG;

		if (err || page.secret != w->secret || page.n > ARRAY_SIZE(page.meta))
			return err == -ENOMEM ? err : -EBADMSG;
		err = add_page(w, at, &page);
		if (err)
			return err;
		ledger_bytes__add(&w->share->own, PAGE, PAGE);
		heap_memory__cover(w->m, at, at + PAGE, w->share->cover);
		at = page.next;
	}
	return at ? -EBADMSG : 0;
}

static int by_start(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end < y->end) - (x->end > y->end);
}

/* Which groups lie in a slot of another. Overlaps of any other kind: the later one is no group. */
static int nest(struct musl_walk *w)
{
	size_t *stack = calloc(w->ngroups + 1, sizeof(*stack)), depth = 0, n = 0;

	if (!stack)
		return -ENOMEM;
	if (w->ngroups)
		qsort(w->group, w->ngroups, sizeof(*w->group), by_start);
	for (size_t i = 0; i < w->ngroups; i++) {
		struct group g = w->group[i];

		while (depth && w->group[stack[depth - 1]].end <= g.start)
			depth--;
		if (depth) {
			struct group *p = &w->group[stack[depth - 1]];
			uint64_t slot = (g.start - p->start - UNIT) / p->stride;

			if (g.start < p->start + UNIT || slot >= p->nslots ||
			    g.end > p->start + UNIT + (slot + 1) * p->stride ||
			    !(p->used >> slot & 1)) {
				w->share->failed++;
				continue;
			}
			p->nested |= 1u << slot;
			g.top = false;
		}
		w->group[n] = g;
		stack[depth++] = n++;
	}
	w->ngroups = n;
	free(stack);
	return 0;
}

/* --- what they hold --- */

/* The block in the slot [start, end): where it begins and how long it is. Of what cannot be read or
 * makes no sense: the whole slot. */
static void block_in(const struct musl_walk *w, uint64_t start, uint64_t end, uint64_t *ret_at,
		     uint64_t *ret_size)
{
	uint64_t at = start, last = end - HEADER;
	uint8_t head[HEADER];
	uint32_t left;

	*ret_at = start;
	*ret_size = last - start;
	if (read_at(w, at - HEADER, head, sizeof(head)))
		return;
	if (head[1] >> 5 == OFFSET) {
		at += (uint64_t)UNIT * (head[2] | (uint64_t)head[3] << 8);
		if (at >= last || read_at(w, at - HEADER, head, sizeof(head)))
			return;
	}
	left = head[1] >> 5;
	if (left > LONG || (left == LONG && read_at(w, last - sizeof(left), &left, sizeof(left))))
		return;
	if (left > last - at)
		return;
	*ret_at = at;
	*ret_size = last - at - left;
}

/* The first block that does not begin before addr. */
static size_t first_block(const struct musl_walk *w, uint64_t addr)
{
	const struct ledger_block *b = w->m->block;
	size_t lo = 0, hi = w->m->nblocks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Takes the live blocks that begin in [start, end). */
static void add_live(struct musl_walk *w, uint64_t start, uint64_t end, double resident)
{
	const struct ledger_block *b = w->m->block;

	for (size_t i = first_block(w, start); i < w->m->nblocks && b[i].addr < end; i++) {
		w->taken[i] = true;
		w->share->live_virt += b[i].bytes;
		w->share->live_rss += b[i].bytes * resident;
	}
}

/* Nothing that begins in there is in use. */
static void take_freed(struct musl_walk *w, uint64_t start, uint64_t end)
{
	for (size_t i = first_block(w, start); i < w->m->nblocks && w->m->block[i].addr < end; i++)
		w->taken[i] = true;
}

static void tell_in_use(struct musl_walk *w, uint64_t at, uint64_t size)
{
	size_t i = first_block(w, at);

	if (i < w->m->nblocks && w->m->block[i].addr == at)
		w->m->in_use(w->m->arg, &w->m->block[i], size);
}

static void add_used(struct musl_walk *w, uint64_t start, uint64_t end)
{
	uint64_t at, size, all = heap_memory__resident(w->m, start, end), resident;

	block_in(w, start, end, &at, &size);
	resident = min_of(heap_memory__resident(w->m, at, at + size), all);
	if (w->m->in_use)
		tell_in_use(w, at, size);
	w->share->walk.chunks++;
	w->share->walk.used += size;
	ledger_bytes__add(&w->share->own, end - start - size, all - resident);
	add_live(w, start, end, size ? (double)resident / (double)size : 1);
}

static void add_slots(struct musl_walk *w, const struct group *g)
{
	uint64_t slots_end = g->start + UNIT + g->stride * g->nslots;

	for (unsigned i = 0; i < g->nslots; i++) {
		uint64_t start = g->start + UNIT + g->stride * i, end = start + g->stride;

		if (g->nested >> i & 1) /* the group in it counts for itself, and takes this away */
			ledger_bytes__add(&w->share->own, g->stride,
					  heap_memory__resident(w->m, start, end));
		else if (g->used >> i & 1)
			add_used(w, start, end);
		else
			ledger_bytes__add(&w->share->kept, g->stride,
					  heap_memory__resident(w->m, start, end));
		if (w->m->in_use && !((g->nested | g->used) >> i & 1))
			take_freed(w, start, end);
	}
	ledger_bytes__add(&w->share->own, UNIT + (g->end - slots_end),
			  heap_memory__resident(w->m, g->start, g->start + UNIT) +
				  heap_memory__resident(w->m, slots_end, g->end));
	if (g->top) {
		heap_memory__cover(w->m, g->start, g->end, w->share->cover);
		return;
	}
	w->share->own.virt -= g->end - g->start;
	w->share->own.rss -= heap_memory__resident(w->m, g->start, g->end);
}

static int keep_strays(struct musl_walk *w)
{
	struct ledger_share *s = w->share;
	size_t cap = 0;

	for (size_t i = 0; i < w->m->nblocks; i++) {
		if (w->taken[i])
			continue;
		if (array_reserve(s->stray, cap, s->nstray + 1))
			return -ENOMEM;
		s->stray[s->nstray++] = w->m->block[i];
	}
	return 0;
}

static int walk(struct musl_walk *w)
{
	int err = find_context(w);

	if (!err)
		err = read_groups(w);
	if (!err)
		err = nest(w);
	for (size_t i = 0; i < w->ngroups && !err; i++)
		add_slots(w, &w->group[i]);
	return err ? err : keep_strays(w);
}

static void describe(const struct musl_walk *w, int err)
{
	struct ledger_walk *d = &w->share->walk;

	d->done = !err;
	d->partial = w->share->failed;
	d->heaps = w->ngroups;
	d->binned = w->share->kept.virt;
	d->own = w->share->own.virt;
	if (err == -EBADMSG)
		snprintf(d->note, sizeof(d->note),
			 "the books of musl's malloc contradict themselves: they change while they "
			 "are "
			 "read, or are damaged");
	else if (!err && w->share->failed)
		snprintf(d->note, sizeof(d->note),
			 "%u of musl's %zu groups changed while they were read", w->share->failed,
			 w->ngroups + w->share->failed);
}

int musl_heap__find(const struct heap_memory *m, struct ledger_share *ret)
{
	struct musl_walk w = {.m = m, .share = ret, .lookups = MAX_LOOKUPS};
	int err = -ENOMEM;

	*ret = (struct ledger_share){.rest = LEDGER_USED, .ncover = m->maps->n};
	ret->cover = calloc(m->maps->n + 1, sizeof(*ret->cover));
	w.taken = calloc(m->nblocks + 1, sizeof(*w.taken));
	if (ret->cover && w.taken)
		err = walk(&w);
	describe(&w, err);
	free(w.taken);
	free(w.group);
	return err;
}
