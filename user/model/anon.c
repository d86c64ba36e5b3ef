/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/anon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define MAX_REGIONS (1u << 20)

int anon__new(struct heap *heap, struct anon **ret)
{
	struct anon *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->heap = heap;
	a->targets = calloc(MW_MAX_TARGETS, sizeof(*a->targets));
	if (!a->targets) {
		free(a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

void anon__free(struct anon *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < MW_MAX_TARGETS; i++)
		free(a->targets[i].regions);
	free(a->targets);
	free(a);
}

/* First region that ends behind addr. */
static size_t first_behind(const struct anon_target *t, uint64_t addr)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->regions[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int insert_at(struct anon_target *t, size_t i, uint64_t start, uint64_t end, uint32_t site)
{
	if (t->n >= MAX_REGIONS || array_reserve(t->regions, t->cap, t->n + 1)) {
		t->lost++;
		return -ENOSPC;
	}
	memmove(&t->regions[i + 1], &t->regions[i], (t->n - i) * sizeof(*t->regions));
	t->regions[i] = (struct anon_region){.start = start, .end = end, .site = site};
	t->n++;
	return 0;
}

static void give_back(struct anon *a, uint32_t target, uint32_t site, uint64_t bytes)
{
	struct heap_site *s = &a->heap->sites[site];

	s->unmap_bytes += bytes;
	if (!s->internal)
		a->heap->targets[target].unmap_bytes += bytes;
}

static void unmap(struct anon *a, uint32_t target, uint64_t start, uint64_t end)
{
	struct anon_target *t = &a->targets[target];
	size_t i = first_behind(t, start), keep;

	if (end <= start)
		return;
	if (i < t->n && t->regions[i].start < start) { /* cut, maybe in two */
		struct anon_region r = t->regions[i];

		give_back(a, target, r.site, min_of(r.end, end) - start);
		t->regions[i].end = start;
		i++;
		if (r.end > end) {
			if (insert_at(t, i, end, r.end, r.site)) /* nobody will see its end */
				give_back(a, target, r.site, r.end - end);
			return;
		}
	}
	for (keep = i; keep < t->n && t->regions[keep].end <= end; keep++)
		give_back(a, target, t->regions[keep].site,
			  t->regions[keep].end - t->regions[keep].start);
	if (keep > i) /* also: an empty table has no array to move in */
		memmove(&t->regions[i], &t->regions[keep], (t->n - keep) * sizeof(*t->regions));
	t->n -= keep - i;
	if (i < t->n && t->regions[i].start < end) {
		give_back(a, target, t->regions[i].site, end - t->regions[i].start);
		t->regions[i].start = end;
	}
}

static void map(struct anon *a, uint32_t target, uint64_t start, uint64_t end, uint32_t site)
{
	struct anon_target *t = &a->targets[target];
	struct heap_site *s;

	if (end <= start || site == UINT32_MAX)
		return;
	unmap(a, target, start, end);
	if (insert_at(t, first_behind(t, start), start, end, site))
		return;
	s = &a->heap->sites[site];
	s->map_count++;
	s->map_bytes += end - start;
	if (!s->internal)
		a->heap->targets[target].map_bytes += end - start;
}

void anon__event(struct anon *a, const struct mw_ev_map *ev)
{
	uint32_t target = ev->hdr.target, site;
	struct anon_target *t;
	size_t i;

	if (target >= MW_MAX_TARGETS)
		return;
	t = &a->targets[target];
	a->heap->targets[target].used = true;
	switch (ev->hdr.kind) {
	case MW_MAP_MMAP:
		map(a, target, ev->addr, ev->addr + ev->size,
		    heap__site_for(a->heap, target, ev->stack));
		break;
	case MW_MAP_MUNMAP: unmap(a, target, ev->addr, ev->addr + ev->size); break;
	case MW_MAP_BRK:
		if (ev->addr > ev->old_addr)
			map(a, target, ev->old_addr, ev->addr,
			    heap__site_for(a->heap, target, ev->stack));
		else
			unmap(a, target, ev->addr, ev->old_addr);
		break;
	case MW_MAP_MREMAP:
		/* Keeps the site of the mapping that moves; one from before the attach stays
		 * unknown. Where it goes, nothing stays (MREMAP_FIXED). */
		i = first_behind(t, ev->old_addr);
		site = i < t->n && t->regions[i].start <= ev->old_addr ? t->regions[i].site
								       : UINT32_MAX;
		unmap(a, target, ev->old_addr, ev->old_addr + ev->old_size);
		unmap(a, target, ev->addr, ev->addr + ev->size);
		map(a, target, ev->addr, ev->addr + ev->size, site);
		break;
	}
}

int anon__fork(struct anon *a, uint32_t parent, uint32_t child)
{
	const struct anon_target *from = &a->targets[parent];

	for (size_t i = 0; i < from->n; i++) {
		const struct anon_region *r = &from->regions[i];
		struct heap_site *s =
			heap__find_site(a->heap, child, a->heap->sites[r->site].stack);
		uint32_t site =
			s ? (uint32_t)(s - a->heap->sites) : heap__site_for(a->heap, child, 0);

		map(a, child, r->start, r->end, site);
	}
	return 0;
}

void anon__clear_target(struct anon *a, uint32_t target)
{
	unmap(a, target, 0, UINT64_MAX);
}

void anon__drop_target(struct anon *a, uint32_t target)
{
	free(a->targets[target].regions);
	memset(&a->targets[target], 0, sizeof(a->targets[target]));
}

void anon__renumber(struct anon *a, const uint32_t *new_site)
{
	for (uint32_t t = 0; t < MW_MAX_TARGETS; t++) {
		for (size_t i = 0; i < a->targets[t].n; i++)
			a->targets[t].regions[i].site = new_site[a->targets[t].regions[i].site];
	}
}

uint64_t anon__mapped_bytes(const struct anon *a, uint32_t target)
{
	const struct heap_target *t = &a->heap->targets[target];

	return t->map_bytes - t->unmap_bytes;
}
