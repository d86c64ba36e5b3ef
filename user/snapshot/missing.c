/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/missing.h"

#include <string.h>
#include <unistd.h>

#include "observe/faults.h"
#include "observe/observer.h"

static void add_heap(const struct heap_target *h, struct losses *ret)
{
	losses__add(ret, MW_LOSS_BLOCKS_FULL, h->lost_blocks, h->lost_bytes);
	losses__add(ret, MW_LOSS_STACK_LATE, h->late_stacks, 0);
	losses__add(ret, MW_LOSS_HISTOGRAMS, h->lost_hist, 0);
	losses__add(ret, MW_LOSS_IMPLIED_FREE, h->implied_frees, 0);
	losses__add(ret, MW_LOSS_UNKNOWN_FREE, h->unknown_frees, 0);
	losses__add(ret, MW_LOSS_UNKNOWN_UNFREE, h->unknown_unfrees, 0);
	losses__add(ret, MW_LOSS_FOLLOW_GAP, h->follow_gap_ns > 0, 0);
}

int missing__gather(struct observer *s, const struct target *t, struct losses *ret)
{
	uint64_t counters[MW_C_COUNT];
	int err = observer__counters(s, t, counters);

	if (err)
		return err;
	memset(ret, 0, sizeof(*ret));
	losses__add_counters(ret, counters);
	for (uint32_t i = 0; i < s->ntargets; i++) {
		if (t && t->index != i)
			continue;
		add_heap(&s->heap->targets[i], ret);
		losses__add(ret, MW_LOSS_REGIONS_FULL, s->anon->targets[i].lost, 0);
	}
	losses__add(ret, MW_LOSS_CHILD_GONE, s->children_gone, 0);
	losses__add(ret, MW_LOSS_CHILD_MISSED, s->children_missed, 0);
	if (s->faults) {
		losses__add_all(ret, faults__losses(s->faults));
		losses__add(ret, MW_LOSS_FAULT_RING, 0,
			    ret->count[MW_LOSS_FAULT_RING] * faults__period(s->faults) *
				    sysconf(_SC_PAGESIZE));
	}
	return 0;
}
