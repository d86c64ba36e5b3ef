/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/machine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "sys/meminfo.h"
#include "sys/psi.h"

static uint64_t known(uint64_t bytes)
{
	return bytes == MEMINFO_UNKNOWN ? 0 : bytes;
}

static void take_memory(struct machine *m, const struct meminfo *i)
{
	*m = (struct machine){.total_bytes = known(i->total),
			      .free_bytes = known(i->free),
			      .available_bytes = known(i->available),
			      .cached_bytes = known(i->cached),
			      .buffers_bytes = known(i->buffers),
			      .shmem_bytes = known(i->shmem),
			      .slab_bytes = known(i->slab),
			      .anon_bytes = known(i->anon),
			      .swap_total_bytes = known(i->swap_total),
			      .swap_free_bytes = known(i->swap_free),
			      .commit_bytes = known(i->commit),
			      .commit_limit_bytes = known(i->commit_limit)};
}

static void read_psi(struct machine *m)
{
	struct psi psi;

	if (psi__machine(&psi))
		return;
	m->some_avg10 = psi.some.avg10;
	m->some_avg60 = psi.some.avg60;
	m->some_avg300 = psi.some.avg300;
	m->some_total_us = psi.some.total_us;
	m->full_avg10 = psi.full.avg10;
	m->full_avg60 = psi.full.avg60;
	m->full_avg300 = psi.full.avg300;
	m->full_total_us = psi.full.total_us;
	m->has_psi = true;
}

int machine__read(struct machine *m)
{
	struct meminfo i;
	int err = meminfo__read(&i);

	if (err)
		return err;
	take_memory(m, &i);
	read_psi(m);
	if (getloadavg(m->load, 3) != 3)
		memset(m->load, 0, sizeof(m->load));
	return 0;
}
