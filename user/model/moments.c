/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/moments.h"

#include <stddef.h>

void moments__note(struct moments *m, uint64_t time_ns, double inuse, double alloc)
{
	uint64_t grain = (time_ns >> MOMENTS_SHIFT) + 1;
	struct moments_slot *s = &m->slot[grain % MOMENTS_SLOTS];

	if (s->grain > grain)
		return;	       /* swapped by more than is kept: of no use to anybody */
	if (s->grain != grain) /* until this change the grain had what was there before it */
		*s = (struct moments_slot){
			.grain = grain, .most = m->newest.grain < grain ? m->newest.last : inuse};
	if (inuse > s->most)
		s->most = inuse;
	s->last = inuse;
	s->alloc = alloc;
	if (grain >= m->newest.grain)
		m->newest = *s;
}

/* The slot of the last change up to that grain; NULL: it is not kept. */
static const struct moments_slot *slot_before(const struct moments *m, uint64_t grain)
{
	if (m->newest.grain <= grain)
		return m->newest.grain ? &m->newest : NULL;
	for (uint64_t back = 0; back < MOMENTS_SLOTS && back < grain; back++) {
		const struct moments_slot *s = &m->slot[(grain - back) % MOMENTS_SLOTS];

		if (s->grain == grain - back)
			return s;
	}
	return NULL;
}

bool moments__at(const struct moments *m, uint64_t time_ns, double *ret_inuse, double *ret_alloc)
{
	uint64_t grain = (time_ns >> MOMENTS_SHIFT) + 1;
	const struct moments_slot *s = slot_before(m, grain);

	if (!s)
		return false;
	*ret_inuse = s->grain == grain ? s->most : s->last;
	*ret_alloc = s->alloc;
	return true;
}
