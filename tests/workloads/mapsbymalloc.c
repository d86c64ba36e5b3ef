// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What malloc maps for itself beside what the program maps: small blocks by the thousand, large
 * ones, some that grow and move, made here and inside of the C library, which also calls back.
 * "done" tells, per function, blocks asked for (by_*) and bytes mapped (own_*).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "wl.h"

#define MB (1UL << 20)

static void *own_map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(90);
	return p;
}

WL_NOINLINE static void own_maps(void)
{
	for (int i = 0; i < 5; i++) {
		wl_keep(own_map(wl_size(3 * MB)));
		wl_alloc(__func__, 1, 3 * MB);
	}
}

WL_NOINLINE static void own_growth(void)
{
	char *p = own_map(wl_size(2 * MB));

	if (mremap(p, 2 * MB, 4 * MB, MREMAP_MAYMOVE) == MAP_FAILED)
		_exit(91);
	wl_alloc(__func__, 1, 4 * MB);
}

WL_NOINLINE static void by_small_blocks(void)
{
	for (int i = 0; i < 4000; i++) {
		wl_keep(malloc(wl_size(16 + i % 2000)));
		wl_alloc(__func__, 1, 16 + i % 2000);
	}
}

WL_NOINLINE static void by_large_blocks(void)
{
	for (int i = 0; i < 8; i++) {
		void *p = malloc(wl_size(1 * MB));

		p = realloc(wl_keep(p), wl_size(5 * MB));
		wl_alloc(__func__, 2, 6 * MB);
		wl_free(__func__, 1, 1 * MB);
		if (i % 2)
			continue;
		free(wl_keep(p));
		wl_free(__func__, 1, 5 * MB);
	}
}

WL_NOINLINE static void by_strdup(void)
{
	for (int i = 0; i < 3000; i++) {
		wl_keep(strdup("twenty-three characters"));
		wl_alloc(__func__, 1, 24);
	}
}

WL_NOINLINE static int by_comparing(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	wl_keep(malloc(wl_size(500)));
	wl_alloc(__func__, 1, 500);
	return x < y ? -1 : x > y;
}

WL_NOINLINE static void sort(void)
{
	int v[500];

	for (int i = 0; i < 500; i++)
		v[i] = i * 7919 % 1009;
	qsort(v, 500, sizeof(v[0]), by_comparing);
}

static void work(void)
{
	by_small_blocks();
	own_maps();
	by_large_blocks();
	by_strdup();
	sort();
	own_growth();
}

int main(void)
{
	return wl_main(work);
}
