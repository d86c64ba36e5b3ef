/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compact.c - gives back what no target has any more. Sites of targets that were let go, frames
 * that are in no site, mappings without a frame, files that nobody maps: each table is gone through
 * once, what stays moves down and has a new number, and whoever has numbers gets the new ones. Done
 * when at least half is waste, so that it costs a constant share; without memory it is put off.
 */
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "observe/observer_priv.h"

#define MIN_SITES 256
#define MIN_MAPS 256

bool observer__has_waste(const struct observer *o)
{
	return (o->heap->ndropped > MIN_SITES && o->heap->ndropped * 2 > o->heap->nsites) ||
	       o->nmaps > MIN_MAPS + 2 * o->maps_after;
}

static bool compact_sites(struct observer *o)
{
	size_t n = o->heap->nsites;
	cleanup_free uint32_t *to = calloc(n + 1, sizeof(*to));

	if (!to)
		return false;
	heap__compact(o->heap, to);
	anon__renumber(o->anon, to);
	if (o->faults)
		faults__renumber(o->faults, to, n);
	return true;
}

/* In to[]: 1 where used. Afterwards the new number where used; returns how many are. */
static size_t number(uint32_t *to, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		if (to[i])
			to[i] = left++;
		else
			to[i] = UINT32_MAX;
	}
	return left;
}

static bool compact_frames(struct observer *o)
{
	cleanup_free uint32_t *to = calloc(o->nframes + 1, sizeof(*to));
	struct heap *h = o->heap;
	size_t n;

	if (!to)
		return false;
	for (size_t i = 0; i < h->nframes; i++)
		to[h->frames[i]] = 1;
	n = number(to, o->nframes);
	for (size_t i = 0; i < h->nframes; i++)
		h->frames[i] = to[h->frames[i]];
	for (size_t i = 0; i < o->nframes; i++) {
		if (to[i] != UINT32_MAX)
			o->frames[to[i]] = o->frames[i];
	}
	o->nframes = n;
	array_shrink(o->frames, o->frames_cap, n);
	return true;
}

static void each_map(struct observer *o, void (*fn)(void *arg, uint32_t *map), void *arg)
{
	for (size_t i = 0; i < o->nframes; i++)
		fn(arg, &o->frames[i].map);
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		for (size_t k = 0; t && k < t->pub.nmaps; k++)
			fn(arg, &t->maps[k]);
		for (size_t k = 0; t && k < t->nold; k++)
			fn(arg, &t->old_maps[(t->old_at - 1 - k) % OLD_MAPS]);
		if (t)
			fn(arg, &t->anon_map);
	}
}

static void mark(void *arg, uint32_t *map)
{
	uint32_t *to = arg;

	to[*map] = 1;
}

static void renumber(void *arg, uint32_t *map)
{
	const uint32_t *to = arg;

	*map = to[*map];
}

static bool compact_maps(struct observer *o)
{
	cleanup_free uint32_t *to = calloc(o->nmaps + 1, sizeof(*to));
	size_t n;

	if (!to)
		return false;
	each_map(o, mark, to);
	n = number(to, o->nmaps);
	each_map(o, renumber, to);
	for (size_t i = 0; i < o->nmaps; i++) {
		if (to[i] != UINT32_MAX)
			o->maps[to[i]] = o->maps[i];
	}
	o->nmaps = o->maps_after = n;
	array_shrink(o->maps, o->maps_cap, n);
	return true;
}

static void compact_modules(struct observer *o)
{
	cleanup_free bool *used = calloc(o->modules.n + 1, sizeof(*used));

	if (!used)
		return;
	for (size_t i = 0; i < o->nmaps; i++) {
		if (o->maps[i].module)
			used[o->maps[i].module->index] = true;
	}
	for (size_t i = 0; i < o->ntargets; i++) {
		for (size_t k = 0; o->targets[i] && k < o->targets[i]->nprobed; k++)
			used[o->targets[i]->probed[k]->index] = true;
	}
	module_table__keep(&o->modules, used);
}

void observer__compact(struct observer *o)
{
	static const struct observer_event gone = {.what = OBSERVER_FILES_GONE};
	size_t files = o->modules.n;

	if (!compact_sites(o) || !compact_frames(o))
		return;
	if (compact_maps(o))
		compact_modules(o);
	frames__index(o);
	if (o->modules.n < files)
		observer__tell(o, &gone);
}
