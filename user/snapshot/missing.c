/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/missing.h"

#include <string.h>
#include <unistd.h>

#include "model/anon.h"
#include "model/heap.h"
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

int missing__gather(const struct observer *o, const struct target *t, struct losses *ret)
{
	uint64_t counters[MW_C_COUNT];
	int err = observer__counters(o, t, counters);

	if (err)
		return err;
	memset(ret, 0, sizeof(*ret));
	losses__add_counters(ret, counters);
	for (const struct target *of = t ? t : observer__next(o, NULL); of;
	     of = t ? NULL : observer__next(o, of)) {
		add_heap(&observer__heap(o)->targets[of->index], ret);
		losses__add(ret, MW_LOSS_REGIONS_FULL, observer__anon(o)->targets[of->index].lost,
			    0);
	}
	losses__add(ret, MW_LOSS_CHILD_GONE, observer__children_gone(o), 0);
	losses__add(ret, MW_LOSS_CHILD_MISSED, observer__children_missed(o), 0);
	if (observer__faults(o)) {
		losses__add_all(ret, faults__losses(observer__faults(o)));
		losses__add(ret, MW_LOSS_FAULT_RING, 0,
			    ret->count[MW_LOSS_FAULT_RING] * faults__period(observer__faults(o)) *
				    sysconf(_SC_PAGESIZE));
	}
	return 0;
}
