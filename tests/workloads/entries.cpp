// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The statistics of every entry point by itself: 1500 blocks of about 4000 bytes through each, a
 * third of them freed. An entry point that is counted twice on its way through the allocator, or
 * that is sampled with another probability than its neighbours, shows here.
 */
#include <cstdlib>
#include <malloc.h>
#include <new>
#include "wl.h"

enum { N = 1500 };
static void *blocks[N];
using al = std::align_val_t;

#define ENTRY(fn, size, alloc, release)                          \
	WL_NOINLINE static void fn()                             \
	{                                                        \
		for (int i = 0; i < N; i++)                      \
			blocks[i] = wl_keep(alloc);              \
		for (int i = 0; i < N; i += 3) {                 \
			void *p = blocks[i];                     \
			release;                                 \
		}                                                \
		wl_alloc(#fn, N, (uint64_t)N *(size));           \
		wl_free(#fn, N / 3, (uint64_t)(N / 3) * (size)); \
	}

static void *aligned(size_t alignment, size_t size)
{
	void *p = nullptr;

	return posix_memalign(&p, alignment, size) ? nullptr : p;
}

ENTRY(e_malloc, 4001, malloc(wl_size(4001)), free(p))
ENTRY(e_calloc, 4004, calloc(wl_size(4), wl_size(1001)), free(p))
ENTRY(e_realloc, 4010, realloc(nullptr, wl_size(4010)), free(p))
ENTRY(e_realloc_moved, 4096, realloc(malloc(wl_size(40)), wl_size(4096)), free(p))
ENTRY(e_reallocarray, 4020, reallocarray(nullptr, wl_size(10), wl_size(402)), free(p))
ENTRY(e_posix_memalign, 4032, aligned(64, wl_size(4032)), free(p))
ENTRY(e_posix_memalign_small, 4036, aligned(16, wl_size(4036)), free(p))
ENTRY(e_memalign_small, 4044, memalign(8, wl_size(4044)), free(p))
ENTRY(e_aligned_alloc, 4224, aligned_alloc(128, wl_size(4224)), free(p))
ENTRY(e_memalign, 4160, memalign(64, wl_size(4160)), free(p))
ENTRY(e_valloc, 4050, valloc(wl_size(4050)), free(p))
ENTRY(e_new, 4056, ::operator new(wl_size(4056)), ::operator delete(p))
ENTRY(e_new_array, 4064, ::operator new[](wl_size(4064)), ::operator delete[](p))
ENTRY(e_new_nothrow, 4072, ::operator new(wl_size(4072), std::nothrow), ::operator delete(p))
ENTRY(e_new_aligned, 4352, ::operator new(wl_size(4352), al(128)), ::operator delete(p, al(128)))
ENTRY(e_new_array_aligned, 4480, ::operator new[](wl_size(4480), al(128)),
      ::operator delete[](p, al(128)))

ENTRY(e_new_sized, 4080, ::operator new(wl_size(4080)), ::operator delete(p, wl_size(4080)))
ENTRY(e_new_array_sized, 4088, ::operator new[](wl_size(4088)),
      ::operator delete[](p, wl_size(4088)))
ENTRY(e_new_aligned_sized, 4608, ::operator new(wl_size(4608), al(128)),
      ::operator delete(p, wl_size(4608), al(128)))

/* Of one allocator alone: jemalloc, mimalloc. */
extern "C" {
void *mallocx(size_t size, int flags) __attribute__((weak));
void sdallocx(void *p, size_t size, int flags) __attribute__((weak));
void *mi_realloc_aligned(void *p, size_t size, size_t alignment) __attribute__((weak));
}

static void *realloc_aligned(void *p, size_t size)
{
	return mi_realloc_aligned ? mi_realloc_aligned(p, size, 128) : realloc(p, size);
}

ENTRY(e_mallocx, 4100, mallocx ? mallocx(wl_size(4100), 0) : malloc(wl_size(4100)),
      sdallocx ? sdallocx(p, wl_size(4100), 0) : free(p))

/* jemalloc has none */
ENTRY(e_pvalloc, 8192, mallocx ? memalign(4096, wl_size(8192)) : pvalloc(wl_size(8192)), free(p))
ENTRY(e_realloc_aligned, 4736, realloc_aligned(memalign(128, wl_size(40)), wl_size(4736)), free(p))

static void work()
{
	e_malloc();
	e_calloc();
	e_realloc();
	e_realloc_moved();
	/* the small blocks that were moved */
	wl_alloc("e_realloc_moved", N, N * 40);
	wl_free("e_realloc_moved", N, N * 40);
	e_realloc_aligned();
	wl_alloc("e_realloc_aligned", N, N * 40);
	wl_free("e_realloc_aligned", N, N * 40);
	e_reallocarray();
	e_posix_memalign();
	e_posix_memalign_small();
	e_memalign_small();
	e_aligned_alloc();
	e_memalign();
	e_valloc();
	e_pvalloc();
	e_new();
	e_new_array();
	e_new_nothrow();
	e_new_aligned();
	e_new_array_aligned();
	e_new_sized();
	e_new_array_sized();
	e_new_aligned_sized();
	e_mallocx();
}

int main()
{
	return wl_main(work);
}
