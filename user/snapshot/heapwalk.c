/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/heapwalk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "model/glibc_find.h"
#include "model/python_arenas.h"
#include "sys/pagemap.h"
#include "sys/procmap.h"
#include "sys/procmem.h"
#include "snapshot/smaps.h"

#define MAX_EXTENTS (16u << 20)
#define BANNER "stable release version 2."
#define MAX_LIBC (32ULL << 20) /* of the file that is searched for the banner */
#define TRIES 3
#define FILE_WINDOW (256u << 10)

struct heap_source {
	struct procmem *mem;
	struct pagemap pages;
	struct glibc_extent *extent;
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
		s->extent[s->n++] = (struct glibc_extent){start, end};
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

static int read_memory(void *arg, uint64_t addr, void *buf, size_t len)
{
	struct heap_source *s = arg;

	return procmem__read(s->mem, addr, buf, len);
}

static bool now_present(void *arg, uint64_t addr)
{
	struct heap_source *s = arg;

	return addr < 1ULL << 47 && pagemap__is_present(&s->pages, addr);
}

/* The release that a libc file says it is: 236 for 2.36; 0: it does not say. */
static unsigned version_of(int fd)
{
	cleanup_free char *buf = malloc(FILE_WINDOW + 1);
	const size_t keep = sizeof(BANNER) + 4;
	size_t have = 0;

	for (uint64_t at = 0; buf && at < MAX_LIBC;) {
		ssize_t n = pread(fd, buf + have, FILE_WINDOW - have, (off_t)at);
		const char *found;

		if (n <= 0)
			return 0;
		at += n;
		have += n;
		buf[have] = 0;
		found = memmem(buf, have, BANNER, sizeof(BANNER) - 1);
		if (found && found + keep < buf + have) {
			unsigned minor = strtoul(found + sizeof(BANNER) - 1, NULL, 10);

			return minor < 100 ? 200 + minor : 0;
		}
		if (have > keep) {
			memmove(buf, buf + have - keep, keep);
			have = keep;
		}
	}
	return 0;
}

static unsigned libc_version(pid_t pid)
{
	struct procmap *maps;
	unsigned version = 0;

	if (procmap__read(pid, &maps))
		return 0;
	for (size_t i = 0; i < maps->n; i++) {
		if (!glibc_find__is_libc(maps->entries[i].path))
			continue;
		cleanup_fd int fd = procmap__open(maps, &maps->entries[i]);

		version = fd >= 0 ? version_of(fd) : 0;
		break;
	}
	procmap__free(maps);
	return version;
}

/* Whose malloc it is where it is not glibc's. */
static void name_allocator(const struct ledger_input *maps, struct glibc_heap *h)
{
	static const char *const names[] = {"/libjemalloc", "/libtcmalloc", "/libmimalloc",
					    "/ld-musl", "/libc.musl"};

	for (size_t i = 0; i < maps->n; i++) {
		const char *base = strrchr(maps->map[i].path, '/');

		for (size_t k = 0; base && k < ARRAY_SIZE(names); k++) {
			if (strncmp(base, names[k], strlen(names[k])))
				continue;
			snprintf(h->note, sizeof(h->note),
				 "no heap of glibc's malloc is here; %s is loaded", names[k] + 1);
			return;
		}
	}
}

int heapwalk__read(pid_t pid, const struct ledger_input *maps, const struct ledger_block *block,
		   size_t nblocks, struct glibc_heap *ret, struct ledger_bytes **ret_python)
{
	struct heap_source s = {.pages.fd = -1};
	struct glibc_heap_input in = {.maps = maps,
				      .block = block,
				      .nblocks = nblocks,
				      .read = read_memory,
				      .now_present = now_present,
				      .arg = &s};
	size_t narenas;
	int err;

	*ret_python = NULL;
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
		in.version = libc_version(pid);
		err = glibc_heap__walk(&in, ret);
		if (err == -ENOENT)
			name_allocator(maps, ret);
		python_arenas__find(&in, ret_python, &narenas);
	} else {
		snprintf(ret->note, sizeof(ret->note), "%s", strerror(-err));
	}
	pagemap__close(&s.pages);
	procmem__close(s.mem);
	free(s.extent);
	return err;
}

int heapwalk__ledger(pid_t pid, const struct ledger_heap *heap, struct ledger *ret,
		     char ret_comm[17])
{
	struct ledger_heap with = *heap;
	struct ledger_bytes *python = NULL;
	struct glibc_heap walk = {0};
	struct ledger_input in;
	uint64_t took_ns = 0;
	int err = smaps__read(pid, &in);

	if (err)
		return err;
	for (int try = 0; !heap->why_not && try < TRIES; try++) {
		uint64_t start_ns = util__now_ns();
		struct ledger_input again;
		int r;

		glibc_heap__free(&walk);
		free(python);
		r = heapwalk__read(pid, &in, heap->block, heap->nblocks, &walk, &python);
		took_ns += util__now_ns() - start_ns;
		with.walk = r ? NULL : &walk;
		with.why_not = walk.note;
		with.python = python;
		if (r == -ENOENT || r == -EACCES || r == -EPERM || walk.failed == walk.lasting ||
		    try == TRIES - 1)
			break;
		err = smaps__read(pid, &again);
		if (err)
			break;
		smaps__free(&in);
		in = again;
	}
	if (!with.walk && !heap->why_not && !in.steady)
		snprintf(walk.note, sizeof(walk.note), "it changes faster than it can be read");
	if (!err) {
		ledger__make(&in, &with, ret);
		ret->walk.took_ns = took_ns;
		if (ret_comm)
			memcpy(ret_comm, in.comm, sizeof(in.comm));
	}
	glibc_heap__free(&walk);
	free(python);
	smaps__free(&in);
	return err;
}
