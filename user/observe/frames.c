/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frames.c - stacks become sites of the heap: each frame an address in a mapping, kept once. */
#include <errno.h>

#include "core/util.h"
#include "observe/observer_priv.h"

static uint64_t frame_hash(uint32_t map, uint64_t address)
{
	return util__mix64(address ^ (uint64_t)map << 48);
}

void frames__index(struct observer *o)
{
	hash_index__clear(&o->frame_index);
	for (size_t i = 0; i < o->nframes; i++)
		hash_index__add(&o->frame_index,
				frame_hash(o->frames[i].map, o->frames[i].address));
}

static int intern_frame(struct observer *o, uint32_t map, uint64_t address, uint32_t *ret)
{
	uint64_t hash = frame_hash(map, address);
	size_t at = HASH_INDEX_START;
	int err;

	while (hash_index__next(&o->frame_index, hash, &at, ret)) {
		if (o->frames[*ret].address == address && o->frames[*ret].map == map)
			return 0;
	}
	err = hash_index__reserve(&o->frame_index);
	if (!err)
		err = array_reserve(o->frames, o->frames_cap, o->nframes + 1);
	if (err)
		return err;
	o->frames[o->nframes] = (struct observer_frame){.map = map, .address = address};
	hash_index__add(&o->frame_index, hash);
	*ret = o->nframes++;
	return 0;
}

/*
 * Is this stack inside an allocator? Asked once per stack, for mappings: what malloc maps for
 * itself is no class of its own.
 */
static bool stack_in_allocator(const struct observer *o, const uint32_t *frames, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct observer_frame *f = &o->frames[frames[i]];
		const struct observer_map *m = &o->maps[f->map];

		if (m->module && module__in_allocator(m->module, f->address - m->start + m->offset))
			return true;
	}
	return false;
}

int frames__on_stack(struct observer *o, const struct mw_ev_stack *ev, size_t size, bool looked)
{
	const uint64_t *pc = (const uint64_t *)(ev + 1);
	uint32_t frames[MW_MAX_FRAMES], site, first, n = 0;
	struct observed *t = observer__of(o, ev->hdr.target);
	int err = 0;

	if (!t || ev->n > MW_MAX_FRAMES || size < sizeof(*ev) + ev->n * sizeof(*pc))
		return 0;
	if (heap__find_site(o->heap, t->pub.index, ev->id))
		return 0; /* sent again */
	first = (ev->leaf_ret & MW_LEAF_INSIDE) && ev->n > 1;
	for (uint32_t i = first; i < ev->n && !err; i++) {
		uint64_t addr = pc[i] - (i || (ev->leaf_ret & MW_LEAF_RET) ? 1 : 0);
		long map = mappings__find(o, t, addr);

		if (map < 0 && !looked)
			return -EAGAIN; /* something was mapped since */
		if (map < 0)
			map = mappings__find_old(o, t, addr);
		err = intern_frame(o, map < 0 ? t->anon_map : (uint32_t)map, addr, &frames[n++]);
	}
	if (!err)
		err = heap__stack(o->heap, t->pub.index, ev->id, ev->hdr.kind, frames, n, &site);
	if (!err)
		o->heap->sites[site].internal = stack_in_allocator(o, frames, n);
	return err == -EAGAIN ? 0 : err;
}
