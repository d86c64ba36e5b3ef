/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/heap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/keyhash.h"
#include "core/util.h"

#define DEFAULT_MAX_BLOCKS (64u << 20)
#define DEFAULT_MAX_SITES (1u << 20)
#define MAX_REALLOCS 65536
#define DROPPED UINT16_MAX /* heap_site.target of a site that heap__compact gives back */

int heap__new(const struct heap_opts *opts, struct heap **ret)
{
	struct heap *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	livemap__init(&h->live, opts->max_blocks ? opts->max_blocks : DEFAULT_MAX_BLOCKS);
	livemap__init(&h->given, h->live.max);
	h->max_sites = opts->max_sites ? opts->max_sites : DEFAULT_MAX_SITES;
	h->start_ns = opts->start_ns;
	h->targets = calloc(MW_MAX_TARGETS, sizeof(*h->targets));
	if (!h->targets) {
		heap__free(h);
		return -ENOMEM;
	}
	heap__set_rate(h, opts->sample_bytes, 0);
	*ret = h;
	return 0;
}

static void free_reuse(struct heap_target *t)
{
	if (t->reuse)
		reuse__fini(t->reuse);
	free(t->reuse);
	t->reuse = NULL;
}

void heap__free(struct heap *h)
{
	if (!h)
		return;
	livemap__fini(&h->live);
	livemap__fini(&h->given);
	for (size_t i = 0; i < h->nsites; i++) {
		hist__clear(&h->sites[i].hist);
		free(h->sites[i].ages);
	}
	for (size_t i = 0; h->targets && i < MW_MAX_TARGETS; i++) {
		free(h->targets[i].hist);
		free(h->targets[i].moments);
		free_reuse(&h->targets[i]);
	}
	free(h->sites);
	free(h->frames);
	hash_index__fini(&h->index);
	free(h->targets);
	free(h->reallocs);
	free(h);
}

static size_t rate_number(struct heap *h, uint64_t sample_bytes, double scale)
{
	for (size_t i = 0; i < h->nrates; i++) {
		if (h->rates[i].sample_bytes == sample_bytes && h->rates[i].scale == scale)
			return i;
	}
	/* Blocks remember their rate by number. When the numbers are used up the last is reused:
	 * the estimate of blocks from it is off by the ratio of the two rates. */
	if (h->nrates == ARRAY_SIZE(h->rates))
		h->nrates--;
	h->rates[h->nrates] = (struct heap_rate){sample_bytes, scale};
	return h->nrates++;
}

void heap__set_rate(struct heap *h, uint64_t sample_bytes, uint64_t since_ns)
{
	h->before = h->now;
	h->rate_since_ns = since_ns;
	h->now.always = rate_number(h, sample_bytes, 1);
	h->now.windowed = h->scale > 1 ? rate_number(h, sample_bytes, h->scale) : h->now.always;
}

void heap__set_scale(struct heap *h, double scale)
{
	h->scale = scale;
	h->now.windowed = rate_number(h, h->rates[h->now.always].sample_bytes, scale);
}

void heap__thin(struct heap *h, uint32_t target, unsigned octaves, uint64_t since_ns)
{
	struct heap_target *t = &h->targets[target];

	t->thin_before = t->thin;
	t->thin = octaves;
	t->thin_since_ns = since_ns;
}

int heap__set_windowed(struct heap *h, uint32_t target, bool windowed)
{
	struct heap_target *t = &h->targets[target];

	if (windowed && !t->reuse) {
		t->reuse = malloc(sizeof(*t->reuse));
		if (!t->reuse)
			return -ENOMEM;
		reuse__init(t->reuse, h->live.max);
	}
	t->windowed = windowed;
	return 0;
}

double heap__weight(uint64_t size, uint64_t sample_bytes)
{
	if (sample_bytes <= 1)
		return 1;
	if (!size)
		size = 1; /* as the sampler does */
	return -1 / expm1(-(double)size / (double)sample_bytes);
}

double heap_site__inuse_objects(const struct heap_site *s)
{
	return s->alloc_samples == s->free_samples ? 0 : s->alloc_objects - s->free_objects;
}

double heap_site__inuse_bytes(const struct heap_site *s)
{
	return s->alloc_samples == s->free_samples ? 0 : s->alloc_bytes - s->free_bytes;
}

const uint32_t *heap__site_frames(const struct heap *h, const struct heap_site *s)
{
	return h->frames + s->frame0;
}

static uint64_t site_hash(uint32_t target, uint64_t stack)
{
	return keyhash__words(stack, target);
}

struct heap_site *heap__find_site(struct heap *h, uint32_t target, uint64_t stack)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&h->index, site_hash(target, stack), &at, &i)) {
		if (h->sites[i].stack == stack && h->sites[i].target == target)
			return &h->sites[i];
	}
	return NULL;
}

static int site_add(struct heap *h, uint32_t target, uint64_t stack, uint8_t end,
		    const uint32_t *frames, size_t n, uint32_t *ret)
{
	struct heap_site *s;
	int err;

	if (stack && h->nsites >= h->max_sites)
		return -ENOSPC;
	err = hash_index__reserve(&h->index);
	if (!err)
		err = array_reserve(h->sites, h->sites_cap, h->nsites + 1);
	if (!err)
		err = array_reserve(h->frames, h->frames_cap, h->nframes + n);
	if (err)
		return err;
	s = &h->sites[h->nsites];
	memset(s, 0, sizeof(*s));
	s->stack = stack;
	s->target = target;
	s->end = end;
	s->unknown = !stack;
	s->frame0 = h->nframes;
	s->nframes = n;
	if (n)
		memcpy(h->frames + h->nframes, frames, n * sizeof(*frames));
	h->nframes += n;
	hash_index__add(&h->index, site_hash(target, stack));
	*ret = h->nsites++;
	return 0;
}

int heap__stack(struct heap *h, uint32_t target, uint64_t stack, uint8_t end,
		const uint32_t *frames, size_t n, uint32_t *ret)
{
	const struct heap_site *s = heap__find_site(h, target, stack);
	int err;

	if (s) {
		*ret = s - h->sites;
		return 0;
	}
	err = site_add(h, target, stack, end, frames, n, ret);
	if (err)
		heap__refuse_stack(h);
	return err;
}

void heap__refuse_stack(struct heap *h)
{
	h->refused = true;
}

uint32_t heap__site_for(struct heap *h, uint32_t target, uint64_t stack)
{
	const struct heap_site *s = heap__find_site(h, target, stack);
	uint32_t site;

	if (!s && stack) {
		if (h->refused)
			h->targets[target].roomless_stacks++;
		else
			h->targets[target].late_stacks++;
		s = heap__find_site(h, target, 0);
	}
	if (s)
		return s - h->sites;
	if (site_add(h, target, 0, MW_STACK_OK, NULL, 0, &site))
		return UINT32_MAX;
	return site;
}

uint32_t heap__time_ms(const struct heap *h, uint64_t time_ns)
{
	return time_ns > h->start_ns ? (time_ns - h->start_ns) / 1000000 : 0;
}

static uint32_t ms_fraction(const struct heap *h, uint64_t time_ns)
{
	return time_ns > h->start_ns ? (time_ns - h->start_ns) % 1000000 * 1024 / 1000000 : 0;
}

/* How long a block lived, microseconds. Events of two CPUs may come with their times swapped. */
static uint64_t lifetime_us(const struct heap *h, const struct livemap_block *b, uint64_t free_ns)
{
	uint32_t ms = heap__time_ms(h, free_ns) -
		      b->time_ms; /* also when the counter of 49 days wrapped */
	int64_t us;

	if (ms > UINT32_MAX - 1000)
		return 0;
	us = ((int64_t)ms * 1024 + ms_fraction(h, free_ns) - b->time_fraction) * 1000 / 1024;
	return us > 0 ? us : 0;
}

double heap__block_weight(const struct heap *h, const struct livemap_block *b)
{
	const struct livemap_block *given;

	if (b->rate != HEAP_GIVEN)
		return heap__weight(b->size, h->rates[b->rate].sample_bytes) *
		       h->rates[b->rate].scale;
	given = livemap__find(&h->given, b->key);
	return given ? (double)given->size / (double)b->size : 1;
}

/* The block is accounted for, and gone. */
static void forget_given(struct heap *h, const struct livemap_block *b)
{
	struct reuse *reuse = h->targets[b->key >> MW_ADDR_BITS].reuse;
	struct livemap_block given;

	if (b->rate == HEAP_GIVEN)
		livemap__take(&h->given, b->key, &given);
	if (reuse)
		reuse__forget(reuse, b->key);
}

/* sign +1: allocated, -1: freed. */
static void account_free(struct heap *h, uint32_t target, const struct livemap_block *b, int sign)
{
	struct heap_target *t = &h->targets[target];
	struct heap_site *s = &h->sites[b->site];
	double w = sign * heap__block_weight(h, b), bytes = w * (double)b->size;

	t->free_objects += w;
	t->free_bytes += bytes;
	t->free_samples += sign;
	s->free_objects += w;
	s->free_bytes += bytes;
	s->free_samples += sign;
	if (s->ages)
		hist_ages__free(s->ages, b->time_ms, w);
}

static void account_alloc(struct heap *h, uint32_t target, const struct livemap_block *b)
{
	struct heap_target *t = &h->targets[target];
	struct heap_site *s = &h->sites[b->site];
	double w = heap__block_weight(h, b), bytes = w * (double)b->size;

	if (!s->alloc_samples) {
		s->first_ms = b->time_ms;
		s->ages = calloc(1, sizeof(*s->ages));
	}
	if (s->ages)
		hist_ages__alloc(s->ages, b->time_ms, w);
	s->last_ms = b->time_ms;
	t->alloc_objects += w;
	t->alloc_bytes += bytes;
	t->alloc_samples++;
	s->alloc_objects += w;
	s->alloc_bytes += bytes;
	s->alloc_samples++;
}

static void count_size(struct heap *h, uint32_t target, const struct livemap_block *b)
{
	struct heap_target *t = &h->targets[target];
	double w = heap__block_weight(h, b);

	if (!t->hist)
		t->hist = calloc(1, sizeof(*t->hist));
	if (t->hist)
		hist_total__add_size(t->hist, b->size, w);
	if (hist__add_size(&h->sites[b->site].hist, b->size, w) || !t->hist)
		t->lost_hist++;
}

/* sign +1: freed after that time, -1: it was not after all. */
static void count_life(struct heap *h, uint32_t target, const struct livemap_block *b,
		       uint64_t life_us, int sign)
{
	struct heap_target *t = &h->targets[target];
	double w = sign * heap__block_weight(h, b);

	if (t->hist)
		hist_total__add_life(t->hist, b->size, life_us, w);
	if (hist__add_life(&h->sites[b->site].hist, b->size, life_us, w) || !t->hist)
		t->lost_hist++;
}

static uint32_t key_target(uint64_t key)
{
	return key >> MW_ADDR_BITS;
}

static void forget_realloc(struct heap *h, uint32_t tid, struct heap_realloc *ret)
{
	if (ret)
		ret->block.key = 0;
	for (size_t i = 0; i < h->nreallocs; i++) {
		if (h->reallocs[i].tid != tid)
			continue;
		if (ret)
			*ret = h->reallocs[i];
		h->reallocs[i] = h->reallocs[--h->nreallocs];
		return;
	}
}

static void note_moment(struct heap *h, uint32_t target, uint64_t time_ns)
{
	struct heap_target *t = &h->targets[target];

	if (!h->keeps_moments)
		return;
	if (!t->moments)
		t->moments = calloc(1, sizeof(*t->moments));
	if (t->moments)
		moments__note(t->moments, time_ns, t->alloc_bytes - t->free_bytes, t->alloc_bytes);
}

void heap__keep_moments(struct heap *h)
{
	h->keeps_moments = true;
}

bool heap__at(const struct heap *h, uint32_t target, uint64_t time_ns, double *ret_inuse_bytes,
	      double *ret_alloc_bytes)
{
	const struct moments *m = h->targets[target].moments;

	return m && moments__at(m, time_ns, ret_inuse_bytes, ret_alloc_bytes);
}

/* A block that has come into the live map: remembers its weight. 0; if there is no room the block
 * is out again. */
static int keep_given(struct heap *h, const struct livemap_block *b, uint64_t weight)
{
	struct livemap_block given = {.key = b->key, .size = weight}, old;
	int r = livemap__put(&h->given, &given, &old);

	if (r < 0)
		livemap__take(&h->live, b->key, &old);
	return r < 0 ? r : 0;
}

/* weight: bytes, of a block with HEAP_GIVEN. */
static void block_in(struct heap *h, const struct mw_ev_alloc *ev, uint64_t size, size_t rate,
		     uint64_t weight)
{
	struct livemap_block b = {.key = MW_LIVE_KEY(ev->hdr.target, ev->addr),
				  .size = size,
				  .rate = rate,
				  .time_ms = heap__time_ms(h, ev->hdr.time_ns),
				  .time_fraction = ms_fraction(h, ev->hdr.time_ns)};
	struct heap_target *t;
	struct livemap_block old;
	int r;

	if (ev->hdr.target >= MW_MAX_TARGETS)
		return;
	t = &h->targets[ev->hdr.target];
	t->used = true;
	if (h->nreallocs)
		forget_realloc(h, ev->hdr.tid, NULL);
	b.site = heap__site_for(h, ev->hdr.target, ev->stack);
	r = b.site == UINT32_MAX ? -ENOMEM : livemap__put(&h->live, &b, &old);
	if (r > 0) {
		/* the free of one that is seen in windows is missed more often than not */
		t->implied_frees += !t->reuse;
		account_free(h, ev->hdr.target, &old, 1);
		forget_given(h, &old);
	}
	if (r >= 0 && rate == HEAP_GIVEN)
		r = keep_given(h, &b, weight);
	if (r < 0) {
		t->lost_blocks++;
		t->lost_bytes += ev->size;
		return;
	}
	account_alloc(h, ev->hdr.target, &b);
	count_size(h, ev->hdr.target, &b);
	note_moment(h, ev->hdr.target, ev->hdr.time_ns);
}

/* The number of the rate that it was sampled at. */
static size_t rate_of(struct heap *h, const struct mw_ev_hdr *ev)
{
	const struct heap_rates *r = ev->time_ns < h->rate_since_ns ? &h->before : &h->now;
	const struct heap_target *t;
	unsigned octaves;
	size_t rate;

	if (ev->target >= MW_MAX_TARGETS)
		return r->always;
	t = &h->targets[ev->target];
	rate = t->windowed ? r->windowed : r->always;
	octaves = ev->time_ns < t->thin_since_ns ? t->thin_before : t->thin;
	if (!octaves)
		return rate;
	return rate_number(h, h->rates[rate].sample_bytes << octaves, h->rates[rate].scale);
}

void heap__alloc(struct heap *h, const struct mw_ev_alloc *ev)
{
	block_in(h, ev, ev->size, rate_of(h, &ev->hdr), 0);
}

void heap__weighed(struct heap *h, const struct mw_ev_weighed *ev)
{
	/* an empty block has a weight, too, and bytes are the weight of all that it stands for */
	block_in(h, &ev->alloc, max_of(ev->alloc.size, (uint64_t)1), HEAP_GIVEN, ev->weight);
}

/* Some allocators free the old block of a realloc by their own free: that is no second free. */
static bool freed_by_realloc(const struct heap *h, const struct mw_ev_free *ev)
{
	uint64_t key = MW_LIVE_KEY(ev->hdr.target, ev->addr);

	for (size_t i = 0; i < h->nreallocs; i++) {
		if (h->reallocs[i].tid == ev->hdr.tid)
			return h->reallocs[i].block.key == key;
	}
	return false;
}

void heap__dealloc(struct heap *h, const struct mw_ev_free *ev)
{
	struct livemap_block b;
	uint64_t life_us;

	if (ev->hdr.target >= MW_MAX_TARGETS)
		return;
	if (!livemap__take(&h->live, MW_LIVE_KEY(ev->hdr.target, ev->addr), &b)) {
		if (!freed_by_realloc(h, ev) && !h->targets[ev->hdr.target].reuse)
			h->targets[ev->hdr.target].unknown_frees++;
		return;
	}
	account_free(h, ev->hdr.target, &b, 1);
	note_moment(h, ev->hdr.target, ev->hdr.time_ns);
	life_us = lifetime_us(h, &b, ev->hdr.time_ns);
	count_life(h, ev->hdr.target, &b, life_us, 1);
	forget_given(h, &b);
	if (!(ev->flags & MW_FREE_REALLOC))
		return;
	forget_realloc(h, ev->hdr.tid, NULL);
	if (h->nreallocs >= MAX_REALLOCS ||
	    array_reserve(h->reallocs, h->reallocs_cap, h->nreallocs + 1))
		return; /* a failed realloc would then look like a free; see heap__undealloc */
	h->reallocs[h->nreallocs].tid = ev->hdr.tid;
	h->reallocs[h->nreallocs].life_us = life_us;
	h->reallocs[h->nreallocs++].block = b;
}

void heap__undealloc(struct heap *h, const struct mw_ev_free *ev)
{
	struct livemap_block old;
	struct heap_realloc r;
	struct heap_target *t;
	int put;

	if (ev->hdr.target >= MW_MAX_TARGETS)
		return;
	t = &h->targets[ev->hdr.target];
	forget_realloc(h, ev->hdr.tid, &r);
	if (r.block.key != MW_LIVE_KEY(ev->hdr.target, ev->addr)) {
		/* The block was from before the attach, or its record is lost. */
		if (t->unknown_frees)
			t->unknown_frees--;
		else
			t->unknown_unfrees++;
		return;
	}
	put = livemap__put(&h->live, &r.block, &old);
	if (put < 0) { /* it counts as freed */
		t->lost_blocks++;
		t->lost_bytes += r.block.size;
		return;
	}
	if (put) {
		t->implied_frees++;
		account_free(h, ev->hdr.target, &old, 1);
	}
	account_free(h, ev->hdr.target, &r.block, -1);
	count_life(h, ev->hdr.target, &r.block, r.life_us, -1);
}

bool heap__bury(struct heap *h, uint32_t target, uint64_t addr)
{
	struct livemap_block b;

	if (!livemap__take(&h->live, MW_LIVE_KEY(target, addr), &b))
		return false;
	account_free(h, target, &b, 1);
	forget_given(h, &b);
	return true;
}

struct copy {
	struct heap *h;
	struct livemap_block *blocks;
	size_t n, cap;
	uint32_t target;
	int err;
};

static void collect(void *arg, const struct livemap_block *b)
{
	struct copy *c = arg;

	if (key_target(b->key) != c->target || c->err)
		return;
	c->err = array_reserve(c->blocks, c->cap, c->n + 1);
	if (!c->err)
		c->blocks[c->n++] = *b;
}

/* The child's site of the same stack as the parent's; UINT32_MAX: no room. */
static uint32_t site_of_child(struct heap *h, uint32_t child, const struct heap_site *s)
{
	cleanup_free uint32_t *frames = NULL;
	uint32_t site;

	if (!s->stack)
		return heap__site_for(h, child, 0);
	frames = malloc((s->nframes + 1) * sizeof(*frames));
	if (!frames)
		return UINT32_MAX;
	memcpy(frames, h->frames + s->frame0, s->nframes * sizeof(*frames));
	return heap__stack(h, child, s->stack, s->end, frames, s->nframes, &site) ? UINT32_MAX
										  : site;
}

int heap__fork(struct heap *h, uint32_t parent, uint32_t child)
{
	struct copy c = {.h = h, .target = parent};
	const struct reuse *from = h->targets[parent].reuse;
	struct reuse *to = h->targets[child].reuse;
	struct livemap_block old;

	livemap__each(&h->live, collect, &c);
	for (size_t i = 0; i < c.n; i++) {
		struct livemap_block b = c.blocks[i];
		struct heap_site s = h->sites[b.site];
		const struct livemap_block *given =
			b.rate == HEAP_GIVEN ? livemap__find(&h->given, b.key) : NULL;

		b.key = MW_LIVE_KEY(child, b.key & ((1ULL << MW_ADDR_BITS) - 1));
		b.site = site_of_child(h, child, &s);
		if (b.site == UINT32_MAX || livemap__put(&h->live, &b, &old) ||
		    (given && keep_given(h, &b, given->size))) {
			h->targets[child].lost_blocks++;
			h->targets[child].lost_bytes += b.size;
			continue;
		}
		account_alloc(h, child, &b);
		count_size(h, child, &b);
		if (from && to)
			reuse__copy(from, c.blocks[i].key, to, b.key);
	}
	h->targets[child].used = true;
	free(c.blocks);
	return c.err;
}

void heap__clear_target(struct heap *h, uint32_t target)
{
	struct copy c = {.h = h, .target = target};
	struct livemap_block b;

	livemap__each(&h->live, collect, &c);
	for (size_t i = 0; i < c.n; i++) {
		if (!livemap__take(&h->live, c.blocks[i].key, &b))
			continue;
		account_free(h, target, &b, 1);
		forget_given(h, &b);
	}
	free(c.blocks);
}

static void drop_realloc_of(struct heap *h, uint32_t target)
{
	size_t n = 0;

	for (size_t i = 0; i < h->nreallocs; i++) {
		if (key_target(h->reallocs[i].block.key) != target)
			h->reallocs[n++] = h->reallocs[i];
	}
	h->nreallocs = n;
}

void heap__drop_target(struct heap *h, uint32_t target)
{
	struct heap_target *t = &h->targets[target];

	if (t->alloc_samples != t->free_samples)
		heap__clear_target(h, target);
	drop_realloc_of(h, target);
	for (size_t i = 0; i < h->nsites; i++) {
		struct heap_site *s = &h->sites[i];

		if (s->target != target)
			continue;
		free(s->ages);
		hist__clear(&s->hist);
		memset(s, 0, sizeof(*s));
		s->target = DROPPED;
		h->ndropped++;
	}
	free(t->hist);
	free(t->moments);
	free_reuse(t);
	memset(t, 0, sizeof(*t));
}

void heap__compact(struct heap *h, uint32_t *ret_new)
{
	size_t n = 0, nframes = 0;

	hash_index__clear(&h->index);
	for (size_t i = 0; i < h->nsites; i++) {
		struct heap_site *s = &h->sites[i];

		ret_new[i] = UINT32_MAX;
		if (s->target == DROPPED)
			continue;
		/* Sites and frames are in the order in which they came: they move down only. */
		memmove(h->frames + nframes, h->frames + s->frame0,
			s->nframes * sizeof(*h->frames));
		s->frame0 = nframes;
		nframes += s->nframes;
		ret_new[i] = n;
		h->sites[n++] = *s;
		hash_index__add(&h->index, site_hash(s->target, s->stack));
	}
	h->nsites = n;
	h->nframes = nframes;
	h->ndropped = 0;
	array_shrink(h->sites, h->sites_cap, n);
	array_shrink(h->frames, h->frames_cap, nframes);
	livemap__renumber(&h->live, ret_new);
}

size_t heap__memory(const struct heap *h)
{
	size_t hists = 0;

	for (size_t i = 0; i < MW_MAX_TARGETS; i++)
		hists += h->targets[i].moments ? sizeof(*h->targets[i].moments) : 0;
	for (size_t i = 0; i < h->nsites; i++)
		hists += hist__memory(&h->sites[i].hist) +
			 (h->sites[i].ages ? sizeof(*h->sites[i].ages) : 0);
	return hists + livemap__memory(&h->live) + livemap__memory(&h->given) +
	       h->sites_cap * sizeof(*h->sites) + h->frames_cap * sizeof(*h->frames) +
	       hash_index__bytes(&h->index) + MW_MAX_TARGETS * sizeof(*h->targets) + sizeof(*h);
}

struct blocks {
	const struct heap *heap;
	uint32_t target;
	struct ledger_block *block;
	size_t n, cap;
	int err;
};

static void collect_block(void *arg, const struct livemap_block *b)
{
	struct blocks *c = arg;

	if (b->key >> MW_ADDR_BITS != c->target || c->err)
		return;
	c->err = array_reserve(c->block, c->cap, c->n + 1);
	if (c->err)
		return;
	c->block[c->n++] = (struct ledger_block){
		.addr = b->key & ((1ULL << MW_ADDR_BITS) - 1),
		.size = b->size,
		.bytes = (double)b->size * heap__block_weight(c->heap, b),
		.site = b->site,
	};
}

static int by_address(const void *a, const void *b)
{
	const struct ledger_block *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int heap__blocks(const struct heap *h, uint32_t target, struct ledger_block **ret, size_t *ret_n)
{
	struct blocks c = {.heap = h, .target = target};

	livemap__each(&h->live, collect_block, &c);
	if (c.err) {
		free(c.block);
		return c.err;
	}
	if (c.n)
		qsort(c.block, c.n, sizeof(*c.block), by_address);
	*ret = c.block;
	*ret_n = c.n;
	return 0;
}
