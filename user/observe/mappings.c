/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mappings.c - what a target maps executable, and probes in the allocators found there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"
#include "probe/proc_probe.h"
#include "sys/proc_task.h"

#define LATER 5			 /* times shorter are waits that come later */
#define READ_ON_NS 1000000000ULL /* between looks at what has no place among what is read */

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

/* Links for many probes go by the memory of the main thread: where that has ended they find none. A
 * link to every process that maps the file would, but all of those would pay for it. */
static bool leaderless(const struct observer *o, const struct observed *t)
{
	return bpfobj__plan(o->obj)->multi && proc_task__shows(t->pub.pid) != t->pub.pid;
}

static void tell_unprobed(struct observer *o, struct observed *t)
{
	struct observer_event e = {.what = OBSERVER_UNPROBED, .target = &t->pub};

	if (t->told_unprobed)
		return;
	t->told_unprobed = true;
	observer__tell(o, &e);
}

int mappings__probe(struct observer *o, const struct observed *t, pid_t pid, const struct module *m,
		    size_t *ret_n)
{
	return alloc_probe__attach(o->probe, pid, t->pub.index, m->fd, m->sites, m->nsites, m->exits,
				   m->nexits, ret_n);
}

static int probe_with_sharers(struct observer *o, const struct observed *t, const struct module *m,
			      size_t *ret_n)
{
	int err = mappings__probe(o, t, observed__probed(t), m, ret_n);

	return err ? err : sharers__attach_module(o, t, m);
}

/* The probes by which a module tells of its own samples; or those of allocators, where none does.
 */
static int attach_module(struct observer *o, struct observed *t, struct module *m,
			 const struct procmap_entry *e, size_t *ret_n)
{
	int err;

	if (t->pub.samples_itself) {
		*ret_n = m->nusdt;
		err = alloc_probe__attach_usdt(o->probe, observed__probed(t), t->pub.index, m->fd,
					       m->usdt, m->nusdt);
		if (err == -EINVAL) /* the kernel keeps one semaphore for a place */
			observer__set_error("failed to use the probes of PID %d's own sampler in "
					    "'%s': another tracer is on them without their "
					    "semaphore; --exact probes malloc instead",
					    t->pub.pid, m->path);
		return err;
	}
	err = rung__fast(o, t, m, e, ret_n);
	if (err <= 0)
		return err;
	if (observed__in_windows(o, t)) {
		err = heap__set_windowed(o->heap, t->pub.index, true);
		if (err || o->windows.out) {
			*ret_n = m->nsites;
			return err;
		}
	}
	return probe_with_sharers(o, t, m, ret_n);
}

int mappings__probe_again(struct observer *o, struct observed *t)
{
	int first_err = 0;

	for (size_t i = 0; i < t->nprobed; i++) {
		size_t n;
		int err = probe_with_sharers(o, t, t->probed[i], &n);

		first_err = first_err ? first_err : err;
	}
	return first_err;
}

static bool is_probed(const struct observed *t, const struct module *m)
{
	size_t i = 0;

	while (i < t->nprobed && !module__same_file(t->probed[i], m))
		i++;
	return i < t->nprobed;
}

/* Puts probes into the allocators of one module, once per process; stubs wherever it is loaded. */
static int probe_module(struct observer *o, struct observed *t, struct module *m,
			const struct procmap_entry *e)
{
	bool again = is_probed(t, m);
	size_t n = 0;
	int err;

	if (again && !rung__loaded_anew(t, m, e))
		return 0;
	if (!(t->pub.samples_itself ? m->nusdt : m->nsites) || !o->probe || t->sharing)
		return 0;
	if (leaderless(o, t)) {
		tell_unprobed(o, t);
		return 0;
	}
	err = attach_module(o, t, m, e, &n);
	if (err == -EINPROGRESS)
		return 0;
	if (err) {
		log_debug("failed to attach to '%s': %s", m->path, strerror(-err));
		return err;
	}
	if (!t->pub.samples_itself)
		log_sites(o, m);
	t->pub.nprobes += n;
	if (again)
		return 0;
	err = array_reserve(t->probed, t->probed_cap, t->nprobed + 1);
	if (!err)
		t->probed[t->nprobed++] = m;
	t->pub.nfiles += n > 0;
	return err;
}

/* The id of a mapping that has not changed since the last look, or a new one. */
static int map_id(struct observer *o, struct observed *t, struct module *m,
		  const struct procmap_entry *e, uint64_t offset, uint32_t *ret)
{
	struct observer_map map = {.target = t->pub.index,
				   .image = t->pub.images,
				   .module = m,
				   .start = e->start,
				   .end = e->end,
				   .offset = offset};
	long old = mappings__find(o, t, e->start);

	if (old >= 0) {
		const struct observer_map *p = &o->maps[old];

		if (p->start == e->start && p->end == e->end && p->offset == offset &&
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

/* A mapping of a file, to be probed. */
struct mapped_file {
	struct module *module;
	const struct procmap_entry *entry;
};

/*
 * From one way of sampling to another: whoever has allocated a block by one way, its free is not
 * seen by the other. The heap begins anew.
 */
static void begin_anew(struct observer *o, struct observed *t)
{
	rung__leave(o, t);
	alloc_probe__detach_target(o->probe, t->pub.index, true);
	observer__forget_live(o, t->pub.index);
	heap__clear_target(o->heap, t->pub.index);
	t->nprobed = t->pub.nprobes = t->pub.nfiles = t->pub.nfast = 0;
}

/* Goes over to the program's own samples, or back from them. */
static void change_sampler(struct observer *o, struct observed *t, bool own)
{
	struct observer_event e = {.what = OBSERVER_SAMPLES_ITSELF, .target = &t->pub};

	t->pub.samples_itself = own;
	if (!t->nprobed)
		return;
	begin_anew(o, t);
	observer__tell(o, &e);
}

/* Every allocation is more than a program's own samples tell. */
static int probe_files(struct observer *o, struct observed *t, const struct mapped_file *files,
		       size_t n)
{
	const struct module *layer = NULL;
	bool own = false;
	int first_err = 0;

	for (size_t i = 0; i < n; i++) {
		own |= files[i].module->nusdt && o->opts.sample_bytes > 1;
		if (!layer && module__is_layer(files[i].module))
			layer = files[i].module;
	}
	if (o->probe && own != t->pub.samples_itself)
		change_sampler(o, t, own);
	if (o->probe && layer && !t->layer && t->pub.nfast) {
		struct observer_event e = {.what = OBSERVER_ANEW, .target = &t->pub};

		begin_anew(o, t);
		observer__tell(o, &e);
	}
	t->layer = layer;
	for (size_t i = 0; i < n; i++) {
		int err = probe_module(o, t, files[i].module, files[i].entry);

		if (err && !first_err)
			first_err = err;
	}
	return first_err;
}

/* Passes the file for an allocator, by its name? */
static bool has_allocators_name(const char *path)
{
	static const char *const libc[] = {"libc.so.", "libc-2.", "libc.musl-", "ld-musl-"};
	const char *base = strrchr(path, '/');

	for (size_t i = 0; base && i < ARRAY_SIZE(libc); i++) {
		if (!strncmp(base + 1, libc[i], strlen(libc[i])))
			return true;
	}
	return allocs__library(path);
}

/* What is needed most is looked through first: reading on behalf of one process has an end
 * (sys/box.h), and others' files before it may use that up. */
static int look_at_allocators(struct observer *o, const struct module_process *p)
{
	int err = 0;

	for (size_t i = 0; i < p->maps->n && !err; i++) {
		const struct procmap_entry *e = &p->maps->entries[i];
		struct module *m;

		if (e->prot & PROCMAP_X && e->kind == PROCMAP_FILE && has_allocators_name(e->path))
			err = module_table__get(&o->modules, p, e, &m);
	}
	return err;
}

/* Before the attach tables are waited for, so that no stack is cut short. */
static void add_tables(struct observer *o, const struct observed *t)
{
	uint64_t wait_ns = o->opts.patience_ns ? o->opts.patience_ns : UINT64_MAX;

	if (o->unwind)
		unwind_maps__add_process(o->unwind, t->pub.pid, t->rescans ? 0 : wait_ns);
}

/* For how long this look waits for who reads files: at later looks the process runs. */
static uint64_t patience(const struct observer *o, const struct observed *t)
{
	return t->rescans ? o->opts.patience_ns / LATER : o->opts.patience_ns;
}

/* The calls that move it tell only where it ends then. */
static int note_brk(struct observer *o, const struct observed *t, const struct procmap *maps)
{
	uint64_t end = procmap__brk_end(maps);

	return proc_probe__brk(o->obj, t->pub.index, end ? end : proc_task__start_brk(t->pub.pid));
}

int mappings__scan(struct observer *o, struct observed *t)
{
	struct procmap *maps;
	struct module_process p = {.root = t->root, .account = t->pub.account};
	cleanup_free struct mapped_file *files = NULL;
	uint32_t *now = NULL;
	size_t n = 0, cap = 0, nfiles = 0, files_cap = 0;
	bool is_read_on = false;
	uint64_t began_ns = util__now_ns();
	int err, first_err = 0;

	if (t->unsupported)
		return 0;
	err = procmap__read(t->pub.pid, &maps);
	if (err)
		return err;
	p.maps = maps;
	err = note_brk(o, t, maps);
	if (err) {
		procmap__free(maps);
		return err;
	}
	o->modules.until_ns = began_ns + patience(o, t);
	err = observed__has_ended(t) ? -ESRCH : look_at_allocators(o, &p);
	if (!err)
		add_tables(o, t);
	t->rescans++;
	if (err == -ESRCH) {
		procmap__free(maps);
		return err;
	}
	for (size_t i = 0; i < maps->n && !err; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		const struct procmap_entry *file = e;
		uint64_t offset = e->offset;
		struct module *m = NULL;
		uint32_t id;

		if (!(e->prot & PROCMAP_X) || e->kind == PROCMAP_SPECIAL)
			continue;
		if (e->kind != PROCMAP_FILE)
			file = procmap__moved_text(maps, e, &offset);
		if (file)
			err = module_table__get(&o->modules, &p, file, &m);
		if (!err)
			err = map_id(o, t, m, e, offset, &id);
		if (!err)
			err = array_reserve(now, cap, n + 1);
		if (!err)
			err = array_reserve(files, files_cap, nfiles + 1);
		if (err)
			break;
		now[n++] = id;
		if (m)
			files[nfiles++] = (struct mapped_file){m, e};
		is_read_on |= m && m->err == -EINPROGRESS;
	}
	module_table__expect_none(&o->modules);
	if (!err)
		first_err = probe_files(o, t, files, nfiles);
	procmap__free(maps);
	if (err) {
		free(now);
		return err;
	}
	t->pub.is_read_on = is_read_on;
	note_old(t, now, n);
	free(t->maps);
	t->maps = now;
	t->pub.nmaps = n;
	t->maps_cap = cap;
	t->looked_ns = began_ns;
	return first_err;
}

void mappings__look(struct observer *o, struct observed *t, uint64_t event_ns)
{
	uint64_t start = util__now_ns(), took;

	if (event_ns <= t->looked_ns)
		return;
	t->look_is_due = !allowance__left(&t->looks, start) || !allowance__left(&o->looks, start);
	o->look_is_due |= t->look_is_due;
	if (t->look_is_due)
		return;
	mappings__scan(o, t);
	took = util__now_ns() - start;
	allowance__spend(&t->looks, took);
	allowance__spend(&o->looks, took);
}

void mappings__look_again(struct observer *o)
{
	if (!o->look_is_due)
		return;
	o->look_is_due = false;
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		if (t && t->look_is_due && !t->pub.ended)
			mappings__look(o, t, UINT64_MAX);
	}
}

void mappings__read_on(struct observer *o)
{
	uint64_t now = util__now_ns();

	if (!o->modules.reads_on ||
	    (!module_table__read_on(&o->modules) && now < o->read_on_ns + READ_ON_NS))
		return;
	o->read_on_ns = now;
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		if (t && t->pub.is_read_on && !t->pub.ended)
			mappings__look(o, t, UINT64_MAX);
	}
}
