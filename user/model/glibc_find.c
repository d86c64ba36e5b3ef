/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where glibc keeps its heap. The main arena has 127 list heads for free chunks, most of which
 * point to themselves: nothing else looks like it. What lies around them is known from there on:
 * top 16 bytes before, the next arena 2048 behind. The distance from the arena's start to the
 * lists differs between releases; the one with which the ring of arenas closes is right.
 */
#include "model/glibc_find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define BINS 127
#define OWN_BINS 20 /* at least so many lists are empty */
#define OFF_TOP (-16)
#define OFF_NEXT 2048
#define OFF_END 2088 /* of the arena */
#define MAX_HEAPS (1u << 16)
#define MAX_DATA (32ULL << 20) /* of one module */
#define MIN_KEY_SLOTS 64
#define MAX_KEY_SLOTS (1u << 17)
#define MMAPS_MAX 65536 /* mp_.n_mmaps_max unless somebody set it */

static const uint32_t bins_offsets[] = {0x70, 0x68, 0x18};

bool glibc_find__is_libc(const char *path)
{
	const char *base = strrchr(path, '/');

	return base && (!strncmp(base, "/libc.so.6", 10) || !strncmp(base, "/libc-2.", 8));
}

static bool is_data(const struct ledger_map *m)
{
	return m->perms[0] == 'r' && m->perms[1] == 'w' && m->perms[3] == 'p';
}

static int load_data(struct glibc_walker *w, uint64_t start, uint64_t end)
{
	const struct heap_extent *p = w->in->present;
	uint64_t *data;

	end = min_of(end, start + MAX_DATA);
	data = calloc(1, end - start);
	if (!data)
		return -ENOMEM;
	free(w->data);
	w->data = data;
	w->data_addr = start;
	w->data_words = (end - start) / 8;
	for (size_t i = glibc_walker__extent(w, start); i < w->in->npresent && p[i].start < end;
	     i++) {
		uint64_t from = max_of(p[i].start, start), to = min_of(p[i].end, end);

		if (from >= to)
			continue;
		w->in->read(w->in->arg, from, (char *)data + (from - start), to - from);
	}
	return 0;
}

static bool plausible(uint64_t p)
{
	return !(p & 15) && p >= 0x10000 && p < 1ULL << 47;
}

static bool are_bins(const struct glibc_walker *w, size_t word)
{
	const uint64_t *bin = w->data + word;
	size_t own = 0;

	for (int i = 0; i < BINS; i++, bin += 2) {
		uint64_t self = w->data_addr + (word + 2 * i) * 8 - 16;

		if (bin[0] == self && bin[1] == self)
			own++;
		else if (!plausible(bin[0]) || !plausible(bin[1]))
			return false;
	}
	return own >= OWN_BINS;
}

static int read_word(struct glibc_walker *w, uint64_t addr, uint64_t *ret)
{
	return glibc_walker__read(w, addr, ret, sizeof(*ret));
}

static int add_arena(struct glibc_walker *w, uint64_t start, uint32_t offset)
{
	struct glibc_arena *a;
	int err = array_reserve(w->arena, w->arenas_cap, w->narenas + 1);

	if (err)
		return err;
	a = &w->arena[w->narenas];
	*a = (struct glibc_arena){.start = start, .bins = start + offset, .main = !w->narenas};
	w->narenas++;
	return read_word(w, a->bins + OFF_SYSTEM_MEM, &a->system_mem);
}

/* Follows the ring from the arena whose lists begin at bins. */
static int follow_ring(struct glibc_walker *w, uint64_t bins, uint32_t offset)
{
	uint64_t first = bins - offset, at = first;

	w->narenas = 0;
	do {
		uint64_t owner;
		int err = add_arena(w, at, offset);

		if (!err && at != first) /* in a heap that says whose it is */
			err = read_word(w, at & ~(GLIBC_HEAP_MAX - 1), &owner);
		if (!err && at != first && owner != at)
			err = -EBADMSG;
		if (!err)
			err = read_word(w, at + offset + OFF_NEXT, &at);
		if (err)
			return err;
		if (w->narenas > MAX_HEAPS || !at || at & 7 || at >= 1ULL << 47)
			return -EBADMSG;
	} while (at != first);
	return 0;
}

/* Looks for the main arena in w->data. */
static int find_bins(struct glibc_walker *w)
{
	size_t need = (OFF_END + 7) / 8;

	for (size_t i = 2; i + need <= w->data_words; i++) {
		if (!are_bins(w, i))
			continue;
		w->saw_bins = true;
		for (size_t k = 0; k < ARRAY_SIZE(bins_offsets); k++) {
			int err = follow_ring(w, w->data_addr + i * 8, bins_offsets[k]);

			if (!err || err == -ENOMEM)
				return err;
		}
	}
	return -ENOENT;
}

int glibc_find__arenas(struct glibc_walker *w)
{
	const struct ledger_input *maps = w->in->maps;

	for (int pass = 0; pass < 2; pass++) { /* libc first, then static programs and the like */
		for (size_t i = 0; i < maps->n; i++) {
			const struct ledger_map *m = &maps->map[i];
			int err;

			if (*m->path != '/' || !is_data(m) ||
			    glibc_find__is_libc(m->path) != (pass == 0))
				continue;
			if (i && maps->map[i - 1].end == m->start && is_data(m - 1) &&
			    !strcmp(maps->map[i - 1].path, m->path))
				continue; /* seen with the one before */
			err = load_data(w, m->start, heap_memory__data_end(maps, i));
			if (!err)
				err = find_bins(w);
			if (err != -ENOENT)
				return err;
		}
	}
	w->narenas = 0;
	return -ENOENT;
}

void glibc_find__params(struct glibc_walker *w, const struct ledger_map *heap,
			struct glibc_params *ret)
{
	static const struct {
		unsigned back; /* from sbrk_base to n_mmaps_max */
		unsigned version;
	} layouts[] = {{32, 235}, {28, 0}};
	const char *bytes = (const char *)w->data;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 5; heap && i < w->data_words; i++) {
		if (w->data[i] < heap->start || w->data[i] >= heap->start + 65536)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(layouts); k++) {
			const char *max = bytes + i * 8 - layouts[k].back;
			uint32_t n_max, n;

			memcpy(&n_max, max, 4);
			memcpy(&n, max - 4, 4);
			if (n_max != MMAPS_MAX || n > MMAPS_MAX)
				continue;
			*ret = (struct glibc_params){.known = true,
						     .sbrk_base = w->data[i],
						     .n_mmaps = n,
						     .mmapped_bytes = w->data[i - 2],
						     .version = layouts[k].version};
			return;
		}
	}
}

/* Could it be a random number of 64 bits? Pointers, counters and the like could not. */
static bool is_random(uint64_t v)
{
	return v & 0xffff && v >> 16 & 0xffff && v >> 32 & 0xffff && v >> 48 && v >> 48 != 0xffff;
}

int glibc_find__make_keys(struct glibc_walker *w, size_t n)
{
	size_t slots = MIN_KEY_SLOTS;

	while (slots < MAX_KEY_SLOTS && slots < n * 2)
		slots *= 2;
	free(w->key);
	w->nkeys = 0;
	w->keys_full = false;
	w->key = calloc(slots, sizeof(*w->key));
	w->key_slots = w->key ? slots : 0;
	return w->key ? 0 : -ENOMEM;
}

void glibc_find__add_key(struct glibc_walker *w, uint64_t value)
{
	struct glibc_key *k;

	if (w->nkeys >= w->key_slots / 2)
		w->keys_full = true;
	if (!value || w->keys_full)
		return;
	k = glibc_walker__key(w, value);
	w->nkeys += !k->value;
	k->value = value;
}

int glibc_find__keys(struct glibc_walker *w)
{
	size_t n = 0;
	int err;

	for (size_t i = 0; i < w->data_words; i++)
		n += is_random(w->data[i]);
	err = glibc_find__make_keys(w, n + 1);
	for (size_t i = 0; !err && i < w->data_words; i++) {
		if (is_random(w->data[i]))
			glibc_find__add_key(w, w->data[i]);
	}
	return err;
}

static int add_segment(struct glibc_walker *w, const struct glibc_segment *s)
{
	int err = array_reserve(w->seg, w->segs_cap, w->nsegs + 1);

	if (!err)
		w->seg[w->nsegs++] = *s;
	return err;
}

static int find_main_heap(struct glibc_walker *w, const struct ledger_map *heap,
			  const struct glibc_params *params)
{
	const struct ledger_input *maps = w->in->maps;
	uint64_t top, end;
	int err = read_word(w, w->arena[0].bins + OFF_TOP, &top);

	if (err)
		return err;
	if (top == w->arena[0].bins + OFF_TOP) /* never used: it is its own unsorted list's head */
		return 0;
	if (!heap)
		return -EXDEV;
	end = heap->end;
	for (const struct ledger_map *m = heap + 1; m < maps->map + maps->n; m++) {
		if (m->start != end || strcmp(m->path, "[heap]"))
			break;
		end = m->end;
	}
	if (top < heap->start || top >= end)
		return -EXDEV;
	struct glibc_segment s = {.base = params->known ? params->sbrk_base : heap->start,
				  .limit = end,
				  .has_top = true};
	s.base = s.first = (s.base + 15) & ~15ULL;
	return add_segment(w, &s);
}

struct heap_info {
	uint64_t arena, prev, size, mprotect_size;
};

/* The heaps of a thread's arena, newest first. */
static int find_heaps(struct glibc_walker *w, uint32_t index)
{
	const struct glibc_arena a = w->arena[index];
	uint64_t own = a.start & ~(GLIBC_HEAP_MAX - 1), head = a.start - own, top, at;
	bool newest = true;
	int err = read_word(w, a.bins + OFF_TOP, &top);

	if (err)
		return err;
	if (head < sizeof(struct heap_info) || head > 256)
		return -EBADMSG;
	for (at = top & ~(GLIBC_HEAP_MAX - 1);; newest = false) {
		struct glibc_segment s = {.base = at, .arena = index, .has_top = newest};
		struct heap_info h;

		if (!at || w->nsegs >= MAX_HEAPS)
			return -EBADMSG;
		err = glibc_walker__read(w, at, &h, sizeof(h));
		if (err)
			return err;
		if (h.arena != a.start || h.size > GLIBC_HEAP_MAX || h.size & (GLIBC_PAGE - 1) ||
		    h.size < GLIBC_PAGE || h.prev & (GLIBC_HEAP_MAX - 1) || h.prev >= 1ULL << 47)
			return -EBADMSG;
		s.first = at == own ? (a.bins + OFF_END + 15) & ~15ULL : at + head;
		/* the newest one may grow while it is walked */
		s.limit = at + (newest ? GLIBC_HEAP_MAX : h.size);
		err = add_segment(w, &s);
		if (err)
			return err;
		if (at == own)
			return 0;
		at = h.prev;
	}
}

static int by_base(const void *a, const void *b)
{
	const struct glibc_segment *x = a, *y = b;

	return x->base < y->base ? -1 : x->base > y->base;
}

int glibc_find__segments(struct glibc_walker *w, const struct ledger_map *heap,
			 const struct glibc_params *params, int *ret_main)
{
	size_t keep = 0;
	int err = find_main_heap(w, heap, params);

	*ret_main = err == -ENOMEM ? 0 : err;
	if (err == -ENOMEM)
		return err;
	for (uint32_t i = 1; i < w->narenas; i++) {
		size_t before = w->nsegs;

		err = find_heaps(w, i);
		if (err == -ENOMEM)
			return err;
		if (err) { /* what was found of it may be anything */
			w->nsegs = before;
			w->out->failed++;
		}
	}
	if (w->nsegs)
		qsort(w->seg, w->nsegs, sizeof(*w->seg), by_base);
	/* a heap belongs to one arena, and none lies in another */
	for (size_t i = 0; i < w->nsegs; i++) {
		if (keep && w->seg[i].base < w->seg[keep - 1].base + 1) {
			w->out->failed++;
			continue;
		}
		if (keep && w->seg[i].base < w->seg[keep - 1].limit)
			w->seg[keep - 1].limit = w->seg[i].base;
		w->seg[keep++] = w->seg[i];
	}
	w->nsegs = keep;
	return 0;
}
