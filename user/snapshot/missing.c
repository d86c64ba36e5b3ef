/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/missing.h"

#include <string.h>
#include <unistd.h>

#include "model/anon.h"
#include "model/heap.h"
#include "observe/faults.h"
#include "observe/observer.h"

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
		losses__add_heap(ret, &observer__heap(o)->targets[of->index]);
		losses__add(ret, MW_LOSS_REGIONS_FULL, observer__anon(o)->targets[of->index].lost,
			    0);
	}
	if (!t)
		losses__add_all(ret, observer__losses_of_gone(o));
	losses__add(ret, MW_LOSS_CHILD_GONE, observer__children_gone(o), 0);
	losses__add(ret, MW_LOSS_CHILD_MISSED, observer__children_missed(o), 0);
	losses__add(ret, MW_LOSS_SHARER, observer__sharers_unseen(o), 0);
	losses__add(ret, MW_LOSS_PROBES_ENDED, observer__probes_ended(o), 0);
	if (observer__faults(o)) {
		losses__add_all(ret, faults__losses(observer__faults(o)));
		losses__add(ret, MW_LOSS_FAULT_RING, 0,
			    ret->count[MW_LOSS_FAULT_RING] * faults__period(observer__faults(o)) *
				    sysconf(_SC_PAGESIZE));
	}
	return 0;
}
