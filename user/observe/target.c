/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/target.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "go/attached.h"
#include "snapshot/go_part.h"
#include "sys/nofile.h"
#include "sys/proc_task.h"
#include "snapshot/snapshot.h"

#define SPARE_FILES 48 /* left for probes, for reading /proc and for writing the profile */

void target__free(struct target *t)
{
	if (!t)
		return;
	if (t->pidfd >= 0)
		close(t->pidfd);
	go_attached__free(t->go);
	free(t->cmdline);
	free(t->maps);
	free(t->probed);
	free(t);
}

void target__read_names(struct target *t)
{
	cleanup_free char *comm = NULL;
	char path[64], *cmdline = NULL;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", t->pid);
	n = util__read_file(path, 64, &comm);
	if (n > 0) {
		comm[n - 1] = 0; /* the last newline; a name may hold others */
		snprintf(t->comm, sizeof(t->comm), "%s", comm);
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", t->pid);
	n = util__read_file(path, 4096, &cmdline);
	if (n <= 0) {
		free(cmdline);
		cmdline = strdup(t->comm);
	}
	for (ssize_t i = 0; cmdline && i < n - 1; i++) {
		if (!cmdline[i])
			cmdline[i] = ' ';
	}
	if (cmdline) {
		free(t->cmdline);
		t->cmdline = cmdline;
	}
}

static int add_map(struct observer *s, uint32_t target, struct module *m, uint64_t start,
		   uint64_t end, uint64_t offset, uint32_t *ret)
{
	int err = array_reserve(s->maps, s->maps_cap, s->nmaps + 1);

	if (err)
		return err;
	s->maps[s->nmaps] = (struct observer_map){
		.target = target, .module = m, .start = start, .end = end, .offset = offset};
	*ret = s->nmaps++;
	return 0;
}

/* The current map at addr, -1 if none. */
static long find_map(const struct observer *s, const struct target *t, uint64_t addr)
{
	size_t lo = 0, hi = t->nmaps;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->maps[t->maps[mid]].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo == t->nmaps || s->maps[t->maps[lo]].start > addr)
		return -1;
	return t->maps[lo];
}

/*
 * The last map of an earlier look at addr, -1 if none. A library may be closed again between the
 * event of a stack in it and its reading, and a look in between no longer finds it.
 */
static long find_old_map(const struct observer *s, const struct target *t, uint64_t addr)
{
	for (size_t i = s->nmaps; i-- > 0;) {
		const struct observer_map *m = &s->maps[i];

		if (m->target == t->index && addr >= m->start && addr < m->end)
			return i;
	}
	return -1;
}

/* Puts probes into the allocators of one module, once per process. */
static int probe_module(struct observer *s, struct target *t, struct module *m)
{
	size_t n = 0;
	int err;

	for (size_t i = 0; i < t->nprobed; i++) {
		if (t->probed[i] == m)
			return 0;
	}
	if (!m->nsites || !s->probe)
		return 0;
	err = alloc_probe__attach(s->probe, t->pid, t->index, m->fd, m->sites, m->nsites, m->exits,
				  m->nexits, &n);
	if (err) {
		log_debug("failed to attach to '%s': %s", m->path, strerror(-err));
		return err;
	}
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
				  site->kind == SITE_EMULATED ? features__method(&s->features)
							      : site->why);
	}
	err = array_reserve(t->probed, t->probed_cap, t->nprobed + 1);
	if (!err)
		t->probed[t->nprobed++] = m;
	t->nprobes += n;
	t->nfiles += n > 0;
	return err;
}

/* The id of a mapping that has not changed since the last look, or a new one. */
static int map_id(struct observer *s, struct target *t, struct module *m,
		  const struct procmap_entry *e, uint32_t *ret)
{
	long old = find_map(s, t, e->start);

	if (old >= 0) {
		const struct observer_map *p = &s->maps[old];

		if (p->start == e->start && p->end == e->end && p->offset == e->offset &&
		    p->module == m) {
			*ret = old;
			return 0;
		}
	}
	return add_map(s, t->index, m, e->start, e->end, e->offset, ret);
}

int observer__rescan(struct observer *s, struct target *t)
{
	struct procmap *maps;
	uint32_t *now = NULL;
	size_t n = 0, cap = 0;
	int err, first_err = 0;

	/* Tables come first: before the attach they are waited for, so that no stack is cut short.
	 */
	if (s->unwind)
		unwind_maps__add_process(s->unwind, t->pid, !t->rescans);
	t->rescans++;
	err = procmap__read(t->pid, &maps);
	if (err)
		return err;
	for (size_t i = 0; i < maps->n && !err; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		struct module *m = NULL;
		uint32_t id;

		if (!(e->prot & PROCMAP_X) || e->kind == PROCMAP_SPECIAL)
			continue;
		if (e->kind == PROCMAP_FILE)
			err = module_table__get(&s->modules, maps, e, &m);
		if (!err)
			err = map_id(s, t, m, e, &id);
		if (!err)
			err = array_reserve(now, cap, n + 1);
		if (err)
			break;
		now[n++] = id;
		if (m) {
			int r = probe_module(s, t, m);

			if (r && !first_err)
				first_err = r;
		}
	}
	procmap__free(maps);
	if (err) {
		free(now);
		return err;
	}
	free(t->maps);
	t->maps = now;
	t->nmaps = n;
	t->maps_cap = cap;
	return first_err;
}

static int intern_frame(struct observer *s, uint32_t map, uint64_t address, uint32_t *ret)
{
	uint64_t hash = util__mix64(address ^ (uint64_t)map << 48);
	size_t at = HASH_INDEX_START;
	int err;

	while (hash_index__next(&s->frame_index, hash, &at, ret)) {
		if (s->frames[*ret].address == address && s->frames[*ret].map == map)
			return 0;
	}
	err = hash_index__reserve(&s->frame_index);
	if (!err)
		err = array_reserve(s->frames, s->frames_cap, s->nframes + 1);
	if (err)
		return err;
	s->frames[s->nframes] = (struct observer_frame){.map = map, .address = address};
	hash_index__add(&s->frame_index, hash);
	*ret = s->nframes++;
	return 0;
}

/*
 * Is this stack inside an allocator? Asked once per stack, for mappings: what malloc maps for
 * itself is no class of its own.
 */
static bool stack_in_allocator(const struct observer *s, const uint32_t *frames, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct observer_frame *f = &s->frames[frames[i]];
		const struct observer_map *m = &s->maps[f->map];

		if (m->module && module__in_allocator(m->module, f->address - m->start + m->offset))
			return true;
	}
	return false;
}

void target__on_stack(struct observer *s, const void *data, size_t size)
{
	const struct mw_ev_stack *ev = data;
	const uint64_t *pc = (const uint64_t *)(ev + 1);
	uint32_t frames[MW_MAX_FRAMES], site, first, n = 0;
	struct target *t;
	bool looked = false;

	if (ev->hdr.target >= MW_MAX_TARGETS || !s->targets[ev->hdr.target] ||
	    ev->n > MW_MAX_FRAMES || size < sizeof(*ev) + ev->n * sizeof(*pc))
		return;
	t = s->targets[ev->hdr.target];
	if (heap__find_site(s->heap, t->index, ev->id))
		return; /* sent again */
	first = (ev->leaf_ret & MW_LEAF_INSIDE) && ev->n > 1;
	for (uint32_t i = first; i < ev->n; i++) {
		uint64_t addr = pc[i] - (i || (ev->leaf_ret & MW_LEAF_RET) ? 1 : 0);
		long map = find_map(s, t, addr);

		if (map < 0 && !looked) {
			looked = true; /* something was mapped since */
			if (!t->ended)
				observer__rescan(s, t);
			map = find_map(s, t, addr);
		}
		if (map < 0)
			map = find_old_map(s, t, addr);
		if (intern_frame(s, map < 0 ? t->anon_map : (uint32_t)map, addr, &frames[n++]))
			return;
	}
	if (!heap__stack(s->heap, t->index, ev->id, ev->hdr.kind, frames, n, &site))
		s->heap->sites[site].internal = stack_in_allocator(s, frames, n);
}

/*
 * Probes in files that the new image maps again hold already, from its first instruction. Only when
 * another thread than the leader has called exec do the links belong to a task that is no more.
 */
void target__exec(struct observer *s, struct target *t, bool by_thread)
{
	if (by_thread && s->probe) {
		/* the old ones would count the new image's calls a second time */
		alloc_probe__detach_target(s->probe, t->index, true);
		t->nprobed = t->nprobes = t->nfiles = 0;
	}
	observer__rescan(s, t);
}

void target__ended(struct observer *s, struct target *t)
{
	uint32_t pid = t->pid;

	if (t->ended)
		return;
	t->ended = true;
	s->nlive--;
	observer__forget_live(s, t->index);
	if (s->probe)
		alloc_probe__detach_target(s->probe, t->index, false);
	/* The number may be given to another process. */
	bpf_map_delete_elem(bpf_map__fd(s->obj->skel->maps.targets), &pid);
	if (s->on_end)
		s->on_end(s, t);
}

/* Value of a line "Name:\tVALUE" of /proc/PID/status. */
static long status_value(int pid, const char *name)
{
	cleanup_free char *text = NULL;
	char path[64], *line;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (util__read_file(path, 65536, &text) <= 0)
		return -1;
	line = strstr(text, name);
	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

static int target_new(struct observer *s, int pid, struct target **ret)
{
	struct target *t;
	int err;

	if (s->ntargets >= CALIBRATE_TARGET) {
		observer__set_error(
			"failed to attach to PID %d: no room for more than %d processes", pid,
			CALIBRATE_TARGET);
		return -ENOSPC;
	}
	if (!nofile__room(SPARE_FILES)) {
		observer__set_error("failed to attach to PID %d: too many open files; raise the "
				    "limit (ulimit -n)",
				    pid);
		return -EMFILE;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->pid = pid;
	t->index = s->ntargets;
	t->start_ns = util__now_ns();
	t->start_unix_ms = util__wall_ms();
	t->pidfd = syscall(SYS_pidfd_open, pid, 0);
	err = t->pidfd < 0 && errno == ESRCH ? -ESRCH
					     : add_map(s, t->index, NULL, 0, 0, 0, &t->anon_map);
	if (err) {
		target__free(t);
		return err;
	}
	target__read_names(t);
	snapshot__jit(s, t); /* names of generated code can be read after the target's end only if
			       they were opened before */
	*ret = t;
	return 0;
}

int observer__add(struct observer *s, int pid, struct target **ret)
{
	struct mw_target row = {0};
	struct target *t;
	long tgid = status_value(pid, "\nTgid:\t");
	char why[PROC_TASK_WHY];
	uint32_t key;
	int err;

	err = proc_task__check(pid, why);
	observer__set_error("%s", why);
	if (err)
		return err;
	if (tgid > 0 && tgid != pid) {
		log_info("%d is a thread of PID %ld: attaching to the process", pid, tgid);
		pid = tgid;
	}
	err = target_new(s, pid, &t);
	if (err)
		return err;
	s->targets[t->index] = t;
	s->ntargets++;
	s->nlive++;
	key = pid;
	row.index = t->index;
	if (bpf_map_update_elem(bpf_map__fd(s->obj->skel->maps.targets), &key, &row, 0))
		err = -errno;
	if (!err)
		err = observer__rescan(s, t);
	if (err) {
		if (err == -ESRCH)
			observer__set_error("PID %d ended while attaching", pid);
		else if (err == -EPERM || err == -EACCES)
			observer__set_error("not permitted to look into PID %d: run as root "
					    "(sudo), or with CAP_SYS_PTRACE",
					    pid);
		else if (err == -EMFILE)
			observer__set_error(
				"failed to attach to PID %d: too many open files; raise "
				"the limit (ulimit -n)",
				pid);
		t->ended = true;
		s->nlive--;
		return err;
	}
	go_part__look(t);
	*ret = t;
	return 0;
}
