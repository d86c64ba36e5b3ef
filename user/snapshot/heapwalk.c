/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/heapwalk.h"

#include "go/go_program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/allocs.h"
#include "model/contributors.h"
#include "model/glibc_find.h"
#include "sys/pagemap.h"
#include "sys/procmap.h"
#include "sys/procmem.h"
#include "snapshot/heap_box.h"
#include "snapshot/smaps.h"

#define MAX_EXTENTS (16u << 20)
#define TRIES 3

/* What was found in one look. */
struct found_heaps {
	struct ledger_share share[CONTRIBUTORS];
	size_t n;
	char note[HEAP_BOX_NOTE]; /* why no allocator's heap is among them */
};

struct heap_source {
	struct procmem *mem;
	struct pagemap pages;
	struct heap_extent *extent;
	size_t n, cap;
	int err;
};

static void add_extent(void *arg, uint64_t start, uint64_t end)
{
	struct heap_source *s = arg;

	if (s->n && s->extent[s->n - 1].end == start) {
		s->extent[s->n - 1].end = end;
		return;
	}
	if (!s->err)
		s->err = s->n < MAX_EXTENTS ? array_reserve(s->extent, s->cap, s->n + 1) : -E2BIG;
	if (!s->err)
		s->extent[s->n++] = (struct heap_extent){start, end};
}

static int find_present(struct heap_source *s, const struct ledger_input *maps)
{
	int err = 0;

	for (size_t i = 0; i < maps->n && !err; i++) {
		const struct ledger_map *m = &maps->map[i];

		if (m->perms[1] != 'w' || m->perms[3] != 'p' || m->hugetlb_vma || !m->rss)
			continue;
		err = pagemap__resident(&s->pages, m->start, m->end, add_extent, s);
		err = err ? err : s->err;
	}
	return err;
}

/* The C library that the process maps; -1: none that can be opened. */
static int open_libc(pid_t pid)
{
	struct procmap *maps;
	int fd = -1;

	if (procmap__read(pid, &maps))
		return -1;
	for (size_t i = 0; i < maps->n; i++) {
		if (!glibc_find__is_libc(maps->entries[i].path))
			continue;
		fd = procmap__open(maps, &maps->entries[i]);
		break;
	}
	procmap__free(maps);
	return fd < 0 ? -1 : fd;
}

/* Whose malloc it is where it is none that is walked. */
static void name_allocator(const struct ledger_input *maps, char *note, size_t len)
{
	const char *name = NULL;
	size_t n = strlen(note);

	for (size_t i = 0; i < maps->n && !name; i++)
		name = allocs__library(maps->map[i].path);
	if (name)
		snprintf(note + n, len - n, "; %s is loaded", name);
}

/* What a Go runtime says of itself. False: no Go program, or none that can be read. */
static bool ask_go(pid_t pid, struct heap_go *ret)
{
	char why[GO_WHY_LEN];
	struct go_program *t;
	struct go_memstats m;
	bool known;

	if (go_program__open(pid, &t, why))
		return false;
	known = !go_program__memstats(t, &m, NULL);
	if (known)
		*ret = (struct heap_go){.inuse = m.heap_inuse,
					.free = m.heap_idle - m.heap_released,
					.released = m.heap_released,
					.lazy_free = m.lazy_free,
					.stacks = m.stack_inuse,
					.metadata = m.mspan_sys + m.mcache_sys + m.gc_sys,
					.off_heap = m.buckhash_sys + m.other_sys,
					.cgo = go_program__facts(t)->cgo};
	go_program__close(t);
	return known;
}

/*
 * maps: of the process, just read (smaps__read). block: live blocks by ascending address, may be
 * NULL. As contributors__find; -ESRCH; -EACCES; other -errno. *ret is valid in any case and freed
 * by free_heap. in_use: of each block, whether it is; NULL: they are live.
 */
static int read_heap(pid_t pid, const struct ledger_input *maps, const struct ledger_block *block,
		     size_t nblocks, bool *in_use, struct found_heaps *ret)
{
	struct heap_source s = {.pages.fd = -1};
	const struct box_target whose = box__target(pid);
	struct heap_memory in = {.maps = maps, .block = block, .nblocks = nblocks};
	struct heap_go go;
	int err;

	memset(ret, 0, sizeof(*ret));
#if __SIZEOF_POINTER__ != 8
	return -ENOENT;
#endif
	err = procmem__open(pid, &s.mem);
	if (!err)
		err = pagemap__open(pid, &s.pages);
	if (!err)
		err = find_present(&s, maps);
	if (!err) {
		in.present = s.extent;
		in.npresent = s.n;
		in.go = ask_go(pid, &go) ? &go : NULL;

		cleanup_fd int libc = open_libc(pid);
		const struct heap_box_files files = {s.mem, s.pages.fd, libc};

		/* what was opened by its number is of one process and one image */
		err = procmem__alive(s.mem) ? 0 : -ESRCH;
		err = err ? err
			  : heap_box__find(&in, &files, &whose, in_use, ret->share, &ret->n,
					   ret->note);
		if (err == -ENOENT)
			name_allocator(maps, ret->note, sizeof(ret->note));
	} else {
		snprintf(ret->note, sizeof(ret->note), "%s", strerror(-err));
	}
	pagemap__close(&s.pages);
	procmem__close(s.mem);
	free(s.extent);
	return err;
}

static void free_heap(struct found_heaps *w)
{
	contributors__free(w->share, w->n);
	w->n = 0;
}

/* What lies in no heap that was walked is not known, unless nothing is mapped there any more. */
static void leave_strays(const struct found_heaps *w, const struct ledger_input *maps,
			 const struct ledger_block *block, size_t n, enum heapwalk_state *state)
{
	const struct ledger_block *stray = block;
	size_t nstray = n, at = 0, map = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (w->share[i].walk.done) {
			stray = w->share[i].stray;
			nstray = w->share[i].nstray;
		}
	}
	for (size_t i = 0; i < nstray; i++) {
		while (at < n && block[at].addr < stray[i].addr)
			at++;
		if (at == n) /* the helper said so */
			return;
		while (map < maps->n && maps->map[map].end <= stray[i].addr)
			map++;
		if (map < maps->n && maps->map[map].start <= stray[i].addr)
			state[at] = HEAPWALK_UNKNOWN;
	}
}

int heapwalk__in_use(pid_t pid, const struct ledger_block *block, size_t n,
		     enum heapwalk_state *state, char why[HEAPWALK_WHY])
{
	cleanup_free bool *in_use = calloc(n + 1, sizeof(*in_use));
	struct ledger_input maps;
	struct found_heaps w;
	int err = in_use ? smaps__read(pid, &maps) : -ENOMEM;

	*why = 0;
	if (err) {
		snprintf(why, HEAPWALK_WHY, "%s", strerror(-err));
		return err;
	}
	err = read_heap(pid, &maps, block, n, in_use, &w);
	for (size_t i = 0; i < n; i++)
		state[i] = in_use[i] ? HEAPWALK_IN_USE : HEAPWALK_GONE;
	snprintf(why, HEAPWALK_WHY, "%s", w.note);
	if (!err)
		leave_strays(&w, &maps, block, n, state);
	free_heap(&w);
	smaps__free(&maps);
	return err;
}

/* Is there something that another try may find? */
static bool is_worth_a_try(const struct found_heaps *w, int err)
{
	if (err == -EBADMSG)
		return true;
	for (size_t i = 0; i < w->n && !err; i++) {
		if (w->share[i].failed != w->share[i].lasting)
			return true;
	}
	return false;
}

int heapwalk__ledger(pid_t pid, const struct ledger_heap *heap, struct ledger *ret,
		     char ret_comm[17])
{
	struct ledger_heap with = *heap;
	struct found_heaps walk = {0};
	struct ledger_input in;
	uint64_t took_ns = 0;
	int err = smaps__read(pid, &in);

	if (err)
		return err;
	for (int try = 0; !heap->why_not && try < TRIES; try++) {
		uint64_t start_ns = util__now_ns();
		struct ledger_input again;
		int r;

		free_heap(&walk);
		r = read_heap(pid, &in, heap->block, heap->nblocks, NULL, &walk);
		took_ns += util__now_ns() - start_ns;
		with.share = walk.share;
		with.nshares = walk.n;
		with.why_not = walk.note;
		if (!is_worth_a_try(&walk, r) || try == TRIES - 1)
			break;
		err = smaps__read(pid, &again);
		if (err)
			break;
		smaps__free(&in);
		in = again;
	}
	if (!walk.n && !heap->why_not && !in.steady)
		snprintf(walk.note, sizeof(walk.note), "it changes faster than it can be read");
	if (!err) {
		ledger__make(&in, &with, ret);
		ret->walk.took_ns = took_ns;
		if (ret_comm)
			memcpy(ret_comm, in.comm, sizeof(in.comm));
	}
	free_heap(&walk);
	smaps__free(&in);
	return err;
}
