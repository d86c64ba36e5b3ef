/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frames.c - stacks become sites of the heap: each frame an address in a mapping, kept once. */
#include <errno.h>

#include "core/keyhash.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"
#include "probe/stack_walk.h"

static uint64_t frame_hash(uint32_t map, uint64_t address)
{
	return keyhash__words(address, map);
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

		if (rung__owns(t, addr))
			continue; /* what memwatch put there is no frame of the program's */
		if (map < 0 && !looked)
			return -EAGAIN; /* something was mapped since */
		if (map < 0)
			map = mappings__find_old(o, t, addr);
		err = intern_frame(o, map < 0 ? t->anon_map : (uint32_t)map, addr, &frames[n++]);
	}
	if (err) {
		heap__refuse_stack(o->heap);
		return 0;
	}
	/* what it refuses it counts, and the events behind this one are read on */
	if (!heap__stack(o->heap, t->pub.index, ev->id, ev->hdr.kind, frames, n, &site))
		o->heap->sites[site].internal = stack_in_allocator(o, frames, n);
	return 0;
}

uint64_t frames__of_copy(const struct observer *o, uint64_t copy)
{
	for (size_t i = 0; i < KNOWN_COPIES; i++) {
		size_t at = (o->copies_at - 1 - i) % KNOWN_COPIES;

		if (o->copies[at].copy == copy)
			return o->copies[at].stack;
	}
	return copy;
}

int frames__on_copy(struct observer *o, const struct mw_ev_copy *ev, size_t size, bool looked)
{
	struct {
		struct mw_ev_stack ev;
		uint64_t pc[MW_MAX_FRAMES];
	} whole = {.ev = ev->st};
	int err;

	if (!copied_stacks__whole(ev, size))
		return 0;
	whole.ev.hdr.kind = unwind_maps__finish(o->unwind, ev, whole.pc, &whole.ev.n);
	whole.ev.id = stack_walk__id(ev, whole.pc, whole.ev.n);
	err = frames__on_stack(o, &whole.ev, sizeof(whole), looked);
	if (err)
		return err;
	o->heap->targets[ev->st.hdr.target].endings[whole.ev.hdr.kind]++;
	o->copies[o->copies_at % KNOWN_COPIES].copy = ev->st.id;
	o->copies[o->copies_at++ % KNOWN_COPIES].stack = whole.ev.id;
	return 0;
}
