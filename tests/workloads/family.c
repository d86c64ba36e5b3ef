// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every entry point of the C allocator family, each in a function of its own, successful and
 * failing, with sizes that tell them apart. Runs on glibc, musl (no pvalloc, no cfree) and on
 * allocators linked or preloaded (-DNO_CFREE where the symbol is not to be had).
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include "wl.h"

#define N 20
static void *kept[N];

/* Frees every second block that `fn` allocated; the others stay in use. */
WL_NOINLINE static void free_half(const char *fn, size_t size)
{
	for (int i = 0; i < N; i += 2) {
		free(kept[i]);
		wl_free(fn, 1, size);
	}
	free(NULL); /* is no free */
}

WL_NOINLINE static void do_malloc(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(malloc(wl_size(101)));
	wl_alloc(__func__, N, 101 * N);
	free_half(__func__, 101);
}

WL_NOINLINE static void do_malloc_zero(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(malloc(wl_size(0)));
	wl_alloc(__func__, N, 0);
	free_half(__func__, 0);
}

WL_NOINLINE static void do_malloc_large(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(malloc(wl_size(3000001)));
	wl_alloc(__func__, N, 3000001 * N);
	free_half(__func__, 3000001);
}

WL_NOINLINE static void do_calloc(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(calloc(wl_size(3), wl_size(67)));
	wl_alloc(__func__, N, 201 * N);
	free_half(__func__, 201);
}

WL_NOINLINE static void do_realloc(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(realloc(NULL, wl_size(301)));
	wl_alloc(__func__, N, 301 * N);
	free_half(__func__, 301);
}

WL_NOINLINE static void do_reallocarray(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(reallocarray(NULL, wl_size(7), wl_size(59)));
	wl_alloc(__func__, N, 413 * N);
	free_half(__func__, 413);
}

WL_NOINLINE static void do_posix_memalign(void)
{
	for (int i = 0; i < N; i++)
		if (posix_memalign(&kept[i], 256, wl_size(501)))
			_exit(90);
	wl_alloc(__func__, N, 501 * N);
	free_half(__func__, 501);
}

WL_NOINLINE static void do_aligned_alloc(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(aligned_alloc(64, wl_size(640)));
	wl_alloc(__func__, N, 640 * N);
	free_half(__func__, 640);
}

WL_NOINLINE static void do_memalign(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(memalign(128, wl_size(701)));
	wl_alloc(__func__, N, 701 * N);
	free_half(__func__, 701);
}

/* Alignments that malloc has anyway. */
WL_NOINLINE static void do_small_alignment(void)
{
	for (int i = 0; i < N; i++) {
		if (i % 2)
			kept[i] = wl_keep(memalign(8, wl_size(777)));
		else if (posix_memalign(&kept[i], 16, wl_size(777)))
			_exit(89);
	}
	wl_alloc(__func__, N, 777 * N);
	free_half(__func__, 777);
}

#ifndef NO_VALLOC
WL_NOINLINE static void do_valloc(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(valloc(wl_size(801)));
	wl_alloc(__func__, N, 801 * N);
	free_half(__func__, 801);
}
#endif

#ifndef NO_PVALLOC
WL_NOINLINE static void do_pvalloc(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(pvalloc(wl_size(8192)));
	wl_alloc(__func__, N, 8192 * N);
	free_half(__func__, 8192);
}
#endif

#ifndef NO_CFREE
extern void old_cfree(void *p);
__asm__(".symver old_cfree, cfree@GLIBC_2.2.5");

WL_NOINLINE static void do_cfree(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(malloc(wl_size(901)));
	wl_alloc(__func__, N, 901 * N);
	for (int i = 0; i < N; i++)
		old_cfree(kept[i]);
	wl_free(__func__, N, 901 * N);
}
#endif

/* Calls that fail: nothing is allocated, nothing is freed. */
WL_NOINLINE static void do_fail(void)
{
	void *p = NULL;

	for (int i = 0; i < N; i++) {
		if (wl_keep(malloc(wl_size(PTRDIFF_MAX) + 1)) ||
		    wl_keep(malloc(wl_size(PTRDIFF_MAX) - 4096)) ||
		    wl_keep(calloc(wl_size(PTRDIFF_MAX), wl_size(3))) ||
		    wl_keep(realloc(NULL, wl_size(PTRDIFF_MAX) + 1)) ||
		    wl_keep(reallocarray(NULL, wl_size(PTRDIFF_MAX), wl_size(16))))
			_exit(91);
		if (posix_memalign(&p, 3, wl_size(100)) != EINVAL ||
		    posix_memalign(&p, 64, wl_size(PTRDIFF_MAX) - 4096) != ENOMEM)
			_exit(92);
#ifndef NO_FAIL_ALIGNED
		if (wl_keep(aligned_alloc(64, wl_size(PTRDIFF_MAX) - 4095)))
			_exit(93);
#endif
	}
	wl_alloc(__func__, 0, 0);
}

#ifndef NO_STRDUP
/* libc functions that allocate by themselves: the block is theirs, the stack names the caller. */
WL_NOINLINE static void do_strdup(void)
{
	for (int i = 0; i < N; i++)
		kept[i] = wl_keep(strdup("twenty-three characters"));
	wl_alloc(__func__, N, 24 * N);
	free_half(__func__, 24);
}
#endif

static void work(void)
{
	do_malloc();
	do_malloc_zero();
	do_malloc_large();
	do_calloc();
	do_realloc();
	do_reallocarray();
	do_posix_memalign();
	do_aligned_alloc();
	do_memalign();
	do_small_alignment();
#ifndef NO_VALLOC
	do_valloc();
#endif
#ifndef NO_PVALLOC
	do_pvalloc();
#endif
#ifndef NO_CFREE
	do_cfree();
#endif
	do_fail();
#ifndef NO_STRDUP
	do_strdup();
#endif
}

int main(void)
{
	return wl_main(work);
}
