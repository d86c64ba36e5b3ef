// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Anonymous memory without an allocator: mmap, munmap (whole, in part, across two mappings),
 * mremap (grow, shrink, move) and brk. "done" tells bytes mapped and bytes still mapped.
 */
#include <sys/mman.h>
#include <stdlib.h>
#include "wl.h"

#define MB (1UL << 20)

static void *map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(90);
	return p;
}

WL_NOINLINE static void map_some(void)
{
	for (int i = 0; i < 8; i++) {
		void *p = map(wl_size(3 * MB));

		wl_alloc(__func__, 1, 3 * MB);
		if (i % 2)
			continue;
		munmap(p, 3 * MB);
		wl_free(__func__, 1, 3 * MB);
	}
}

WL_NOINLINE static void map_partly(void)
{
	char *p = map(wl_size(16 * MB));

	wl_alloc(__func__, 1, 16 * MB);
	munmap(p + 4 * MB, 4 * MB); /* a hole */
	munmap(p, 1 * MB);	    /* the front */
	wl_free(__func__, 0, 5 * MB);
}

WL_NOINLINE static void map_remap(void)
{
	char *p = map(wl_size(2 * MB));

	p = mremap(p, 2 * MB, 10 * MB, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		_exit(91);
	p = mremap(p, 10 * MB, 6 * MB, 0);
	if (p == MAP_FAILED)
		_exit(92);
	wl_alloc(__func__, 1, 6 * MB);
}

WL_NOINLINE static void heap_break(void)
{
	if (sbrk(5 * MB) == (void *)-1)
		_exit(93);
	wl_alloc(__func__, 1, 5 * MB);
}

/* A private file and a shared one, each over half of an anonymous mapping; a third beside them. */
WL_NOINLINE static void map_files_over(void)
{
	int fd = memfd_create("over", 0);
	char *p = map(wl_size(12 * MB));

	if (fd < 0 || ftruncate(fd, 3 * MB) ||
	    mmap(p, 3 * MB, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) != p ||
	    mmap(p + 5 * MB, 3 * MB, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != p + 5 * MB ||
	    mmap(p, 3 * MB, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) != MAP_FAILED ||
	    mmap(NULL, 3 * MB, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		_exit(94);
	close(fd);
	wl_alloc(__func__, 1, 12 * MB);
	wl_free(__func__, 0, 6 * MB);
}

/* The pages move, the old mapping stays: both are there. */
WL_NOINLINE static void map_twice(void)
{
	char *p = map(wl_size(7 * MB));

	if (mremap(p, 7 * MB, 7 * MB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED)
		_exit(95);
	wl_alloc(__func__, 2, 14 * MB);
}

/* A file's mapping moved onto anonymous memory takes its place. */
WL_NOINLINE static void map_moved_onto(void)
{
	int fd = memfd_create("moved", 0);
	char *p = map(wl_size(9 * MB)), *f;

	if (fd < 0 || ftruncate(fd, 2 * MB))
		_exit(96);
	f = mmap(NULL, 2 * MB, PROT_READ, MAP_SHARED, fd, 0);
	if (f == MAP_FAILED ||
	    mremap(f, 2 * MB, 2 * MB, MREMAP_MAYMOVE | MREMAP_FIXED, p + MB) != p + MB)
		_exit(97);
	close(fd);
	wl_alloc(__func__, 1, 9 * MB);
	wl_free(__func__, 0, 2 * MB);
}

static void work(void)
{
	map_files_over();
	map_twice();
	map_moved_onto();
	map_some();
	map_partly();
	map_remap();
	heap_break();
}

int main(void)
{
	return wl_main(work);
}
