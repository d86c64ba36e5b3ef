/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/glibc_heap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "model/glibc_find.h"
#include "model/glibc_heap_priv.h"

#define MAX_LOOKUPS (1u << 18)
#define MAX_PROBES (1u << 18) /* pages looked at for chunks with a mapping of their own */

void glibc_heap__free(struct glibc_heap *h)
{
	free(h->cover);
	free(h->stray);
	memset(h, 0, sizeof(*h));
}

static int add_done(struct glibc_walker *w, uint64_t start, uint64_t end)
{
	int err = array_reserve(w->done, w->done_cap, w->ndone + 1);

	if (!err)
		w->done[w->ndone++] = (struct heap_extent){start, end};
	return err;
}

static void add_live(struct glibc_heap *h, const struct glibc_sums *s)
{
	h->live_virt += s->live_virt;
	h->live_rss += s->live_rss;
	h->live_own_virt += s->live_own_virt;
	h->live_own_rss += s->live_own_rss;
	h->chunks += s->chunks;
}

static void add_bytes(struct ledger_bytes *to, const struct ledger_bytes *b)
{
	ledger_bytes__add(to, b->virt, b->rss);
}

/* The tables before and between the chunks: what is no chunk. */
static void add_own(struct glibc_walker *w, const struct glibc_segment *s,
		    const struct ledger_bytes *chunks)
{
	uint64_t virt = s->limit - s->base, rss;

	glibc_walker__seek(w, s->base);
	rss = glibc_walker__resident(w, s->base, s->limit);
	if (virt > chunks->virt && rss >= chunks->rss)
		ledger_bytes__add(&w->out->own, virt - chunks->virt, rss - chunks->rss);
}

static int walk_segments(struct glibc_walker *w)
{
	for (size_t i = 0; i < w->nsegs; i++) {
		struct glibc_segment *s = &w->seg[i];
		struct ledger_bytes before = w->keyed, chunks = {0};
		struct glibc_sums sums;
		int err = glibc_walker__segment(w, s, &sums);

		if (err == -EBADMSG || err == -ENODATA || err == -EFAULT) {
			w->out->failed++;
			continue;
		}
		/* what the main arena took from the system must be what was seen of it */
		if (!err && w->arena[s->arena].main &&
		    (sums.end - s->base) / 99 < w->arena[s->arena].system_mem / 100) {
			w->out->failed++;
			w->out->lasting++;
			snprintf(w->out->note, sizeof(w->out->note),
				 "the main arena is not contiguous");
			continue;
		}
		if (!err)
			err = add_done(w, s->base, sums.end);
		if (err)
			return err;
		add_bytes(&chunks, &sums.used);
		add_bytes(&chunks, &sums.fastbin);
		add_bytes(&chunks, &sums.binned);
		add_bytes(&chunks, &sums.top);
		ledger_bytes__add(&chunks, w->keyed.virt - before.virt, w->keyed.rss - before.rss);
		add_bytes(&w->out->used, &sums.used);
		add_bytes(&w->out->fastbin, &sums.fastbin);
		add_bytes(&w->out->binned, &sums.binned);
		add_bytes(&w->out->top, &sums.top);
		add_live(w->out, &sums);
		s->limit = sums.end;
		add_own(w, s, &chunks);
		w->out->heaps++;
	}
	return 0;
}

/* --- chunks with a mapping of their own --------------------------------------------------------*/

static bool may_hold_mmapped(const struct ledger_map *m)
{
	return (!*m->path || !strncmp(m->path, "[anon: glibc", 12)) && !m->stack_of_thread &&
	       m->perms[0] == 'r' && m->perms[1] == 'w' && m->perms[3] == 'p';
}

/* The length of the mmapped chunk at addr, a page's start; 0: none is there. */
static uint64_t mmapped_at(struct glibc_walker *w, uint64_t addr, uint64_t end)
{
	uint64_t head[2], size;

	if (end - addr < GLIBC_PAGE || heap_memory__read_kept(w->in, addr, head, sizeof(head)))
		return 0;
	size = head[1] & ~(uint64_t)CHUNK_FLAGS;
	if ((size & (GLIBC_PAGE - 1)) == GLIBC_PAGE - 16)
		size += 16; /* since 2.43 without the header */
	if (head[0] || (head[1] & CHUNK_FLAGS) != CHUNK_MMAPPED || size & (GLIBC_PAGE - 1) ||
	    !size || size > end - addr)
		return 0;
	return size;
}

struct mmapped {
	struct heap_extent *found;
	size_t n, cap;
	uint64_t bytes;
	const struct glibc_params *params;
	size_t probes;
	bool all; /* look at every page, not only where mappings begin */
};

static bool mmapped_complete(const struct mmapped *m)
{
	return m->params->known && m->n == m->params->n_mmaps &&
	       m->bytes == m->params->mmapped_bytes;
}

/* Looks through [addr, end), in which no heap lies. */
static int scan_range(struct glibc_walker *w, struct mmapped *m, uint64_t addr, uint64_t end)
{
	while (addr < end && m->probes && !mmapped_complete(m)) {
		size_t i = glibc_walker__extent(w, addr);
		uint64_t size;
		int err;

		if (i == w->in->npresent || w->in->present[i].start >= end)
			return 0; /* a chunk's header is always resident */
		if (w->in->present[i].start > addr) {
			if (!m->all)
				return 0;
			addr = w->in->present[i].start;
		}
		m->probes--;
		size = mmapped_at(w, addr, end);
		if (!size) {
			if (!m->all)
				return 0;
			addr += GLIBC_PAGE;
			continue;
		}
		err = array_reserve(m->found, m->cap, m->n + 1);
		if (err)
			return err;
		m->found[m->n++] = (struct heap_extent){addr, addr + size};
		m->bytes += size;
		addr += size;
	}
	return 0;
}

static int scan_all(struct glibc_walker *w, struct mmapped *m, bool all)
{
	const struct ledger_input *maps = w->in->maps;
	size_t seg = 0;
	int err = 0;

	m->n = 0;
	m->bytes = 0;
	m->all = all;
	for (size_t i = 0; i < maps->n && !err; i++) {
		uint64_t at = maps->map[i].start, end = maps->map[i].end;

		if (!may_hold_mmapped(&maps->map[i]))
			continue;
		while (seg < w->nsegs && w->seg[seg].limit <= at)
			seg++;
		for (size_t k = seg; k < w->nsegs && w->seg[k].base < end && !err; k++) {
			if (at < w->seg[k].base)
				err = scan_range(w, m, at, w->seg[k].base);
			at = max_of(at, w->seg[k].limit);
		}
		if (!err && at < end)
			err = scan_range(w, m, at, end);
	}
	return err;
}

static int walk_mmapped(struct glibc_walker *w, const struct glibc_params *params)
{
	struct mmapped m = {.params = params, .probes = MAX_PROBES};
	int err = scan_all(w, &m, false);

	if (!err && params->known && !mmapped_complete(&m))
		err = scan_all(w, &m, true);
	w->out->mmapped_exact = mmapped_complete(&m);
	for (size_t i = 0; i < m.n && !err; i++) {
		struct glibc_sums sums = {0};
		uint64_t size = m.found[i].end - m.found[i].start, rss;

		glibc_walker__seek(w, m.found[i].start);
		rss = glibc_walker__resident(w, m.found[i].start, m.found[i].end);
		glibc_walker__live(w, m.found[i].start, size, rss, &sums);
		sums.chunks = 1;
		add_live(w->out, &sums);
		ledger_bytes__add(&w->out->used, size, rss);
		ledger_bytes__add(&w->out->mmapped, size, rss);
		w->out->nmmapped++;
		err = add_done(w, m.found[i].start, m.found[i].end);
	}
	free(m.found);
	return err;
}

/* --- putting it together -----------------------------------------------------------------------*/

static int by_start(const void *a, const void *b)
{
	const struct heap_extent *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int make_cover(struct glibc_walker *w)
{
	const struct ledger_input *maps = w->in->maps;
	size_t k = 0, b = 0, cap = 0;

	w->out->cover = calloc(maps->n + 1, sizeof(*w->out->cover));
	if (!w->out->cover)
		return -ENOMEM;
	w->out->ncover = maps->n;
	if (w->ndone)
		qsort(w->done, w->ndone, sizeof(*w->done), by_start);
	glibc_walker__seek(w, 0);
	for (size_t i = 0; i < maps->n; i++) {
		const struct ledger_map *m = &maps->map[i];

		while (k < w->ndone && w->done[k].end <= m->start)
			k++;
		for (size_t j = k; j < w->ndone && w->done[j].start < m->end; j++) {
			uint64_t from = max_of(w->done[j].start, m->start);
			uint64_t to = min_of(w->done[j].end, m->end);

			ledger_bytes__add(&w->out->cover[i], to - from,
					  glibc_walker__resident(w, from, to));
		}
	}
	k = 0;
	for (; b < w->in->nblocks; b++) {
		uint64_t addr = w->in->block[b].addr;
		int err;

		while (k < w->ndone && w->done[k].end <= addr)
			k++;
		if (k < w->ndone && addr >= w->done[k].start)
			continue;
		err = array_reserve(w->out->stray, cap, w->out->nstray + 1);
		if (err)
			return err;
		w->out->stray[w->out->nstray++] = w->in->block[b];
	}
	return 0;
}

/* The key that most bytes carry marks the chunks in thread caches; the others were chance. */
static void choose_key(struct glibc_walker *w, bool all)
{
	const struct glibc_key *best = NULL;

	for (size_t i = 0; i < w->key_slots; i++) {
		const struct glibc_key *k = &w->key[i];

		if (!k->sum.virt)
			continue;
		if (all)
			add_bytes(&w->out->tcache, &k->sum);
		else if (!best || k->sum.virt > best->sum.virt)
			best = k;
	}
	for (size_t i = 0; !all && i < w->key_slots; i++) {
		const struct glibc_key *k = &w->key[i];

		add_bytes(k == best ? &w->out->tcache : &w->out->used, &k->sum);
	}
}

/* Releases 2.29 to 2.33 marked a cached chunk with the address of the cache, which is the first
 * chunk of its thread's arena. */
static int add_cache_addresses(struct glibc_walker *w)
{
	int err = glibc_find__make_keys(w, w->nsegs + 1);

	for (size_t i = 0; !err && i < w->nsegs; i++)
		glibc_find__add_key(w, w->seg[i].first + 16);
	return err;
}

static const struct ledger_map *brk_heap(const struct ledger_input *maps)
{
	for (size_t i = 0; i < maps->n; i++) {
		if (!strcmp(maps->map[i].path, "[heap]"))
			return &maps->map[i];
	}
	return NULL;
}

static void say_why(struct glibc_heap *h, int main_err)
{
	if (*h->note)
		return;
	if (main_err == -EXDEV)
		snprintf(h->note, sizeof(h->note),
			 "the main arena is not, or not only, in the brk area");
	else if (h->failed || main_err)
		snprintf(h->note, sizeof(h->note),
			 "%u of the allocator's %u heaps changed too fast to be walked, are "
			 "swapped out or damaged",
			 h->failed, h->failed + h->heaps);
	else if (!h->cached_known)
		snprintf(h->note, sizeof(h->note),
			 "what thread caches hold counts as in use: it cannot be told");
}

static int walk(struct glibc_walker *w)
{
	const struct ledger_map *heap = brk_heap(w->in->maps);
	struct glibc_params params;
	unsigned version = w->in->version;
	int err = glibc_find__arenas(w), main_err;
	bool by_address;

	if (err)
		return err;
	glibc_find__params(w, heap, &params);
	version = version ? version : params.version;
	if (!version && w->narenas > 1 && (w->arena[1].start & (GLIBC_HEAP_MAX - 1)) == 48)
		version = 235; /* heaps' headers are longer since */
	w->link = version >= 232 ? LINK_SAFE : version ? LINK_PLAIN : LINK_UNKNOWN;
	err = glibc_find__keys(w);
	if (!err)
		err = glibc_find__segments(w, heap, &params, &main_err);
	if (err)
		return err;
	if (main_err)
		w->out->failed++;
	if (main_err == -EXDEV)
		w->out->lasting++;
	by_address = version >= 229 && version <= 233;
	if (by_address)
		err = add_cache_addresses(w);
	if (err)
		return err;
	w->out->cached_known = !w->keys_full && (!version || version >= 229 || version < 226);
	w->out->fastbins_known = w->link != LINK_UNKNOWN;
	w->out->arenas = w->narenas;
	if (w->nsegs) {
		w->lowest = w->seg[0].base;
		w->highest = w->seg[w->nsegs - 1].limit;
	}
	w->lookups = MAX_LOOKUPS;
	err = walk_segments(w);
	if (!err)
		err = walk_mmapped(w, &params);
	choose_key(w, by_address);
	if (!err)
		err = make_cover(w);
	say_why(w->out, main_err);
	if (!err && !w->ndone && w->out->failed)
		err = -EBADMSG;
	return err;
}

int glibc_heap__walk(const struct heap_memory *in, struct glibc_heap *ret)
{
	struct glibc_walker w = {.in = in, .out = ret};
	int err = -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	w.window = in->window ? in->window : malloc(HEAP_MEMORY_WINDOW);
	if (w.window)
		err = walk(&w);
	ret->seen = w.saw_bins;
	if (err == -ENOENT)
		snprintf(ret->note, sizeof(ret->note), "%s",
			 w.saw_bins ? "the arenas of glibc's malloc are damaged, or laid out in a "
				      "way that is not known"
				    : "no heap of glibc's malloc is here");
	else if (err == -ENOMEM)
		snprintf(ret->note, sizeof(ret->note), "not enough memory");
	if (w.window != in->window)
		free(w.window);
	free(w.key);
	free(w.arena);
	free(w.seg);
	free(w.done);
	free(w.data);
	return err;
}

/* --- as a contributor --------------------------------------------------------------------------*/

/* A heap of a glibc arena: starts at a multiple of 64 MiB and is followed by its own reserve, or
 * fills the 64 MiB. */
static bool is_arena(const struct ledger_input *in, size_t i)
{
	const struct ledger_map *m = &in->map[i], *next = i + 1 < in->n ? m + 1 : NULL;

	if (m->start & (GLIBC_HEAP_MAX - 1) || m->perms[1] != 'w' ||
	    m->end - m->start > GLIBC_HEAP_MAX)
		return false;
	if (m->end - m->start == GLIBC_HEAP_MAX)
		return true;
	return next && next->start == m->end && !strncmp(next->perms, "---", 3) && !*next->path &&
	       next->end == m->start + GLIBC_HEAP_MAX;
}

enum ledger_kind glibc_heap__classify(const struct ledger_input *in, size_t i)
{
	return in->map[i].perms[2] != 'x' && is_arena(in, i) ? LEDGER_HEAP : LEDGER_KINDS;
}

void glibc_heap__share(const struct glibc_heap *h, struct ledger_share *ret)
{
	const struct ledger_bytes *const kept[] = {&h->top, &h->binned, &h->fastbin, &h->tcache};

	*ret = (struct ledger_share){.rest = LEDGER_USED,
				     .cover = h->cover,
				     .ncover = h->ncover,
				     .own = h->own,
				     .live_virt = h->live_virt,
				     .live_rss = h->live_rss,
				     .live_own_virt = h->live_own_virt,
				     .live_own_rss = h->live_own_rss,
				     .stray = h->stray,
				     .nstray = h->nstray,
				     .failed = h->failed,
				     .lasting = h->lasting};
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		add_bytes(&ret->kept, kept[i]);
	ret->walk = (struct ledger_walk){.done = true,
					 .partial = h->failed,
					 .chunks = h->chunks,
					 .arenas = h->arenas,
					 .heaps = h->heaps,
					 .retries = h->retries,
					 .used = h->used.virt,
					 .mmapped = h->mmapped.virt,
					 .tcache = h->tcache.virt,
					 .fastbin = h->fastbin.virt,
					 .binned = h->binned.virt,
					 .top = h->top.virt,
					 .own = h->own.virt};
	snprintf(ret->walk.note, sizeof(ret->walk.note), "%s", h->note);
}

int glibc_heap__find(const struct heap_memory *m, struct ledger_share *ret)
{
	struct glibc_heap h;
	int err = glibc_heap__walk(m, &h);

	glibc_heap__share(&h, ret);
	if (err == -ENOENT && h.seen)
		err = -EBADMSG; /* there is one, and it is not understood */
	if (!err) {		/* they are ret's now */
		h.cover = NULL;
		h.stray = NULL;
	} else {
		ret->cover = NULL;
		ret->stray = NULL;
		ret->ncover = ret->nstray = 0;
		ret->walk.done = false;
	}
	glibc_heap__free(&h);
	return err;
}
