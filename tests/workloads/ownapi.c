// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocators' own interfaces beside the standard one: jemalloc's (blocks that grow and shrink
 * where they are), and with -DMIMALLOC mimalloc's heaps.
 */
#include <stdlib.h>
#ifdef MIMALLOC
#include <mimalloc.h>
#else
#include <jemalloc/jemalloc.h>
#endif
#include "wl.h"

enum { N = 40 };
static void *block[N];

#ifdef MIMALLOC
WL_NOINLINE static void in_a_heap(void)
{
	mi_heap_t *heap = mi_heap_get_default();

	for (int i = 0; i < N; i++) {
		block[i] = wl_keep(i % 2 ? mi_heap_malloc(heap, wl_size(3000))
					 : mi_heap_calloc(heap, wl_size(3), wl_size(1000)));
		wl_alloc(__func__, 1, 3000);
	}
	for (int i = 1; i < N; i += 2) {
		mi_free(block[i]);
		wl_free(__func__, 1, 3000);
	}
}

static void work(void)
{
	in_a_heap();
}
#else
#define BIG (1 << 20)
#define SMALL (32 << 10)

WL_NOINLINE static void born(void)
{
	for (int i = 0; i < N; i++)
		block[i] = wl_keep(mallocx(wl_size(BIG), 0));
	wl_alloc(__func__, N, (uint64_t)N * BIG);
}

/* From BIG to SMALL in place. Only what the allocator did counts; it may refuse. */
WL_NOINLINE static void shrink(void)
{
	for (int i = 0; i < N; i += 2) {
		if (xallocx(block[i], wl_size(SMALL), 0, 0) >= BIG)
			continue;
		wl_free("born", 1, BIG);
		wl_alloc(__func__, 1, SMALL);
	}
}

WL_NOINLINE static void grow(void)
{
	for (int i = 0; i < N; i += 4) {
		if (sallocx(block[i], 0) >= BIG || xallocx(block[i], wl_size(BIG), 0, 0) < BIG)
			continue;
		wl_free("shrink", 1, SMALL);
		wl_alloc(__func__, 1, BIG);
	}
}

/* Small blocks stay in their size class: nothing is ever refused below it, nor granted above. */
WL_NOINLINE static void refused(void)
{
	void *p = wl_keep(mallocx(wl_size(100), 0));

	if (xallocx(p, wl_size(100000), 0, 0) >= 100000)
		_exit(90);
	wl_alloc(__func__, 1, 100);
}

WL_NOINLINE static void moved(void)
{
	void *p = wl_keep(mallocx(wl_size(700), MALLOCX_ALIGN(64)));

	p = wl_keep(rallocx(p, wl_size(70000), 0));
	wl_alloc(__func__, 2, 70700);
	wl_free(__func__, 1, 700);
	sdallocx(wl_keep(mallocx(wl_size(50), MALLOCX_ZERO)), 50, 0);
	dallocx(wl_keep(mallocx(wl_size(60), 0)), 0);
	wl_alloc(__func__, 2, 110);
	wl_free(__func__, 2, 110);
	wl_keep(p);
}

static void work(void)
{
	born();
	shrink();
	grow();
	refused();
	moved();
}
#endif

int main(void)
{
	return wl_main(work);
}
