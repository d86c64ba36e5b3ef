/* SPDX-License-Identifier: GPL-2.0-or-later */
/* footprint.c - the memory of the observer's tables, here and in the kernel. */
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "observe/observer_priv.h"

struct footprint_rows {
	struct footprint_row *row;
	size_t n;
};

static void put(struct footprint_rows *r, const char *name, uint64_t bytes, uint64_t entries,
		bool in_kernel)
{
	struct footprint_row *f = &r->row[r->n];

	if (r->n == FOOTPRINT_ROWS)
		return;
	*f = (struct footprint_row){.bytes = bytes, .entries = entries, .in_kernel = in_kernel};
	snprintf(f->name, sizeof(f->name), "%s", name);
	r->n++;
}

static void put_map(void *arg, const char *name, uint64_t bytes, uint64_t entries)
{
	put(arg, name, bytes, entries, true);
}

static void put_anon(const struct observer *o, struct footprint_rows *r)
{
	uint64_t cap = 0, n = 0;

	for (size_t i = 0; i < MW_MAX_TARGETS; i++) {
		cap += o->anon->targets[i].cap;
		n += o->anon->targets[i].n;
	}
	put(r, "anonymous mappings", cap * sizeof(struct anon_region), n, false);
}

static void put_processes(const struct observer *o, struct footprint_rows *r)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < o->ntargets; i++) {
		const struct observed *t = o->targets[i];

		if (t)
			bytes += sizeof(*t) + t->maps_cap * sizeof(*t->maps) +
				 t->probed_cap * sizeof(*t->probed) +
				 (t->pub.cmdline ? strlen(t->pub.cmdline) + 1 : 0);
	}
	put(r, "processes", bytes, o->count, false);
}

size_t observer__footprint(const struct observer *o, struct footprint_row ret[FOOTPRINT_ROWS])
{
	struct footprint_rows r = {.row = ret};
	struct unwind_maps_stats tables;
	uint64_t bytes = 0, entries = 0;
	size_t live = livemap__memory(&o->heap->live);

	put(&r, "live blocks", live, o->heap->live.n, false);
	put(&r, "stacks", heap__memory(o->heap) - live, o->heap->nsites, false);
	put_anon(o, &r);
	if (o->faults) {
		faults__memory(o->faults, &bytes, &entries);
		put(&r, "page-fault samples", bytes, entries, false);
	}
	put(&r, "frames", o->frames_cap * sizeof(*o->frames) + hash_index__bytes(&o->frame_index),
	    o->nframes, false);
	put(&r, "mappings", o->maps_cap * sizeof(*o->maps), o->nmaps, false);
	put(&r, "files", module_table__bytes(&o->modules), o->modules.n, false);
	put_processes(o, &r);
	if (o->probe)
		put(&r, "probes", 0, alloc_probe__nlinks(o->probe), true);
	if (o->unwind) {
		unwind_maps__stats(o->unwind, &tables);
		put(&r, "unwind tables", tables.bytes, tables.files, true);
	}
	bpfobj__each_map(o->obj, put_map, &r);
	return r.n;
}
