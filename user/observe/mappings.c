/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mappings.c - what a target maps executable, and probes in the allocators found there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"

int mappings__add(struct observer *o, const struct observer_map *m, uint32_t *ret)
{
	int err = array_reserve(o->maps, o->maps_cap, o->nmaps + 1);

	if (err)
		return err;
	o->maps[o->nmaps] = *m;
	*ret = o->nmaps++;
	return 0;
}

long mappings__find(const struct observer *o, const struct observed *t, uint64_t addr)
{
	size_t lo = 0, hi = t->pub.nmaps;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (o->maps[t->maps[mid]].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo == t->pub.nmaps || o->maps[t->maps[lo]].start > addr)
		return -1;
	return t->maps[lo];
}

/*
 * A library may be closed again between the event of a stack in it and its reading, and a look in
 * between no longer finds it.
 */
long mappings__find_old(const struct observer *o, const struct observed *t, uint64_t addr)
{
	for (size_t i = 0; i < t->nold; i++) {
		uint32_t id = t->old_maps[(t->old_at - 1 - i) % OLD_MAPS];

		if (addr >= o->maps[id].start && addr < o->maps[id].end)
			return id;
	}
	return -1;
}

/* Where each probe went, for -v. */
static void log_sites(const struct observer *o, const struct module *m)
{
	for (size_t i = 0; i < m->nsites && log__level() >= LOG_DEBUG; i++) {
		const struct site *site = &m->sites[i];

		if (site->wrapper)
			log_debug("probe %s %s: none, it calls %s", m->path, site->func.name,
				  site->calls);
		else
			log_debug("probe %s %s: offset 0x%lx '%s' %s, %s", m->path, site->func.name,
				  (unsigned long)site->off, site->insn,
				  site->kind == SITE_EMULATED  ? "emulated"
				  : site->kind == SITE_STEPPED ? "single-stepped"
							       : "not probed",
				  site->kind == SITE_EMULATED ? observer__method(o) : site->why);
	}
}

/* Puts probes into the allocators of one module, once per process. */
static int probe_module(struct observer *o, struct observed *t, struct module *m,
			const struct procmap_entry *e)
{
	size_t n = 0;
	int err;

	for (size_t i = 0; i < t->nprobed; i++) {
		if (t->probed[i] == m)
			return 0;
	}
	if (!m->nsites || !o->probe)
		return 0;
	err = rung__fast(o, t, m, e, &n);
	if (err > 0)
		err = alloc_probe__attach(o->probe, t->pub.pid, t->pub.index, m->fd, m->sites,
					  m->nsites, m->exits, m->nexits, &n);
	if (err) {
		log_debug("failed to attach to '%s': %s", m->path, strerror(-err));
		return err;
	}
	log_sites(o, m);
	err = array_reserve(t->probed, t->probed_cap, t->nprobed + 1);
	if (!err)
		t->probed[t->nprobed++] = m;
	t->pub.nprobes += n;
	t->pub.nfiles += n > 0;
	return err;
}

/* The id of a mapping that has not changed since the last look, or a new one. */
static int map_id(struct observer *o, struct observed *t, struct module *m,
		  const struct procmap_entry *e, uint32_t *ret)
{
	struct observer_map map = {.target = t->pub.index,
				   .module = m,
				   .start = e->start,
				   .end = e->end,
				   .offset = e->offset};
	long old = mappings__find(o, t, e->start);

	if (old >= 0) {
		const struct observer_map *p = &o->maps[old];

		if (p->start == e->start && p->end == e->end && p->offset == e->offset &&
		    p->module == m) {
			*ret = old;
			return 0;
		}
	}
	return mappings__add(o, &map, ret);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Keeps in mind which mappings are no longer there. `now` comes by address. */
static void note_old(struct observed *t, const uint32_t *now, size_t n)
{
	cleanup_free uint32_t *sorted = n ? malloc(n * sizeof(*now)) : NULL;

	if (n && !sorted)
		return;
	if (n) {
		memcpy(sorted, now, n * sizeof(*now));
		qsort(sorted, n, sizeof(*sorted), by_number);
	}
	for (size_t i = 0; i < t->pub.nmaps; i++) {
		if (n && bsearch(&t->maps[i], sorted, n, sizeof(*sorted), by_number))
			continue;
		t->old_maps[t->old_at++ % OLD_MAPS] = t->maps[i];
		t->nold = min_of(t->nold + 1, (size_t)OLD_MAPS);
	}
}

int mappings__scan(struct observer *o, struct observed *t)
{
	struct procmap *maps;
	uint32_t *now = NULL;
	size_t n = 0, cap = 0;
	int err, first_err = 0;

	/* Tables come first: before the attach they are waited for, so that no stack is cut short.
	 */
	if (o->unwind)
		unwind_maps__add_process(o->unwind, t->pub.pid, !t->rescans);
	t->rescans++;
	err = procmap__read(t->pub.pid, &maps);
	if (err)
		return err;
	for (size_t i = 0; i < maps->n && !err; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		struct module *m = NULL;
		uint32_t id;

		if (!(e->prot & PROCMAP_X) || e->kind == PROCMAP_SPECIAL)
			continue;
		if (e->kind == PROCMAP_FILE)
			err = module_table__get(&o->modules, maps, e, &m);
		if (!err)
			err = map_id(o, t, m, e, &id);
		if (!err)
			err = array_reserve(now, cap, n + 1);
		if (err)
			break;
		now[n++] = id;
		if (m) {
			int r = probe_module(o, t, m, e);

			if (r && !first_err)
				first_err = r;
		}
	}
	procmap__free(maps);
	if (err) {
		free(now);
		return err;
	}
	note_old(t, now, n);
	free(t->maps);
	t->maps = now;
	t->pub.nmaps = n;
	t->maps_cap = cap;
	return first_err;
}
