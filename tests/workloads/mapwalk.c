// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps, unmaps, moves and replaces at random, in a fenced range of addresses; SEED chooses. Each
 * page's owner is kept in a table by rules of the manual pages, and what the table says must be
 * what /proc/self/maps says, or the program ends with 99. "done" tells what each function holds.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "wl.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
enum { PAGES = 4096, STEPS = 600 };
enum owner { NOBODY, FENCE, FILES, BY_MMAP, BY_SHARED, BY_RESERVE, OWNERS };
static const char *const names[OWNERS] = {
	[BY_MMAP] = "by_mmap", [BY_SHARED] = "by_shared", [BY_RESERVE] = "by_reserve"};

static char *base;
static unsigned char owner[PAGES];
static unsigned long rnd;

static unsigned long pick(unsigned long n)
{
	rnd = rnd * 6364136223846793005UL + 1442695040888963407UL;
	return (rnd >> 33) % n;
}

static void own(size_t at, size_t n, enum owner o)
{
	for (size_t i = 0; i < n; i++)
		owner[at + i] = o;
}

static int all(size_t at, size_t n, int anon)
{
	for (size_t i = 0; i < n; i++)
		if (anon ? owner[at + i] < BY_MMAP : owner[at + i] != NOBODY)
			return 0;
	return 1;
}

WL_NOINLINE static void by_mmap(size_t at, size_t n)
{
	if (mmap(base + at * PAGE, n * PAGE - pick(2) * 100, RW, ANON | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		_exit(90);
	own(at, n, BY_MMAP);
}

WL_NOINLINE static void by_shared(size_t at, size_t n)
{
	if (mmap(base + at * PAGE, n * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		_exit(91);
	own(at, n, BY_SHARED);
}

WL_NOINLINE static void by_reserve(size_t at, size_t n)
{
	if (mmap(base + at * PAGE, n * PAGE, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
	    MAP_FAILED)
		_exit(92);
	own(at, n, BY_RESERVE);
}

static void a_file(int fd, size_t at, size_t n)
{
	if (mmap(base + at * PAGE, n * PAGE, PROT_READ,
		 (pick(2) ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, fd, 0) == MAP_FAILED)
		_exit(93);
	own(at, n, FILES);
}

/* One mapping of the table that was made in one piece may be moved in one piece. */
static void move(size_t at, size_t n, size_t to, size_t m)
{
	enum owner o = owner[at];
	void *p = mremap(base + at * PAGE, n * PAGE, m * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			 base + to * PAGE);

	if (p == MAP_FAILED)
		return; /* over two mappings, or over itself */
	own(at, n, NOBODY);
	own(to, m, o);
}

static void keep_both(size_t at, size_t n, size_t to)
{
	enum owner o = owner[at];
	void *p = mremap(base + at * PAGE, n * PAGE, n * PAGE,
			 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, base + to * PAGE);

	if (p != MAP_FAILED)
		own(to, n, o);
}

static void resize(size_t at, size_t n, size_t m)
{
	enum owner o = owner[at];

	if (mremap(base + at * PAGE, n * PAGE, m * PAGE, 0) == MAP_FAILED)
		return;
	own(at, n, NOBODY);
	own(at, m, o);
}

/* What cannot change who has mapped what. */
static void disturb(size_t at, size_t n)
{
	char *p = base + at * PAGE;

	madvise(p, n * PAGE, MADV_DONTNEED);
	madvise(p, n * PAGE, MADV_FREE);
	mprotect(p, n * PAGE, pick(2) ? PROT_READ : RW);
	mprotect(p, n * PAGE, RW);
	mlock(p, PAGE);
	munlock(p, PAGE);
	mmap(p, n * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	munmap(p + 1, n * PAGE); /* EINVAL */
}

static void step(int fd)
{
	size_t n = 1 + pick(40), at = 1 + pick(PAGES - 200), to = 1 + pick(PAGES - 200),
	       m = 1 + pick(60);

	switch (pick(12)) {
	case 0:
	case 1:
	case 2: by_mmap(at, n); break;
	case 3: by_shared(at, n); break;
	case 4: by_reserve(at, 4 * n); break;
	case 5: a_file(fd, at, n); break;
	case 6:
	case 7:
		munmap(base + at * PAGE, 3 * n * PAGE);
		own(at, 3 * n, NOBODY);
		break;
	case 8: /* of its own, so that it is one piece */
		by_mmap(at, n);
		if (to + m <= at || to >= at + n)
			move(at, n, to, m);
		break;
	case 9:
		by_mmap(at, n);
		if (to + n <= at || to >= at + n)
			keep_both(at, n, to);
		break;
	case 10:
		by_mmap(at, n);
		if (m < n || all(at + n, m - n, 0))
			resize(at, n, m);
		break;
	case 11:
		if (all(at, n, 1))
			disturb(at, n);
		break;
	}
}

/* The kernel's own list of what is mapped in the range, anonymous or not. */
static void check(void)
{
	static char text[1 << 20];
	static unsigned char seen[PAGES];
	size_t len = 0;
	ssize_t got;
	int fd = open("/proc/self/maps", O_RDONLY);

	while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	for (char *l = text, *end; l < text + len && (end = strchr(l, '\n')); l = end + 1) {
		char *p = l;
		unsigned long a = strtoul(p, &p, 16), b = strtoul(p + 1, &p, 16);

		*end = 0;
		for (; a < b; a += PAGE)
			if (a - (unsigned long)base < PAGES * PAGE)
				seen[(a - (unsigned long)base) / PAGE] =
					strstr(l, "walk") ? FILES : BY_MMAP;
	}
	for (int i = 1; i < PAGES - 1; i++)
		if ((seen[i] == NOBODY) != (owner[i] == NOBODY) ||
		    (seen[i] == FILES) != (owner[i] == FILES))
			_exit(99);
}

static void work(void)
{
	int fd = memfd_create("walk", 0);

	if (fd < 0 || ftruncate(fd, 100 * PAGE))
		_exit(94);
	for (int i = 0; i < STEPS; i++)
		step(fd);
	check();
	for (int i = 0; i < PAGES; i++)
		if (owner[i] >= BY_MMAP)
			wl_alloc(names[owner[i]], 0, PAGE);
}

int main(int argc, char **argv)
{
	rnd = (unsigned long)atoi(argc > 1 ? argv[1] : "1") * 77777 + 3;
	/* Room that no library will be put into: from before the attach, and given up by it. */
	base = mmap(NULL, PAGES * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED || munmap(base + PAGE, (PAGES - 2) * PAGE))
		_exit(95);
	own(0, 1, FENCE);
	own(PAGES - 1, 1, FENCE);
	return wl_main(work);
}
