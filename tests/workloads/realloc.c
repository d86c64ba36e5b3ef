// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * realloc in all its cases. A successful realloc is a free of the old block and an allocation of
 * the new one; a failed one changes nothing. realloc(p, 0) frees (NULL) or hands out an empty
 * block, as the allocator at hand does.
 */
#include <stdlib.h>
#include "wl.h"

#define N 50
static void *p[N];

WL_NOINLINE static void first(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(malloc(wl_size(1000)));
	wl_alloc(__func__, N, 1000 * N);
}

WL_NOINLINE static void shrink(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(realloc(p[i], wl_size(990)));
	wl_free("first", N, 1000 * N);
	wl_alloc(__func__, N, 990 * N);
}

/* Moves: each block has a neighbour. */
WL_NOINLINE static void grow_move(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(realloc(p[i], wl_size(5000)));
	wl_free("shrink", N, 990 * N);
	wl_alloc(__func__, N, 5000 * N);
}

/* glibc maps blocks of this size and moves them with mremap. */
WL_NOINLINE static void grow_mapped(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(realloc(p[i], wl_size(300000)));
	wl_free("grow_move", N, 5000 * N);
	wl_alloc(__func__, N, 300000 * N);
}

WL_NOINLINE static void grow_mapped_again(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(realloc(p[i], wl_size(900000)));
	wl_free("grow_mapped", N, 300000 * N);
	wl_alloc(__func__, N, 900000 * N);
}

/* Fails: the old block stays as it was. */
WL_NOINLINE static void fail(void)
{
	for (int i = 0; i < N; i++)
		if (wl_keep(realloc(p[i], wl_size(PTRDIFF_MAX) - 4096)) ||
		    wl_keep(realloc(p[i], wl_size(PTRDIFF_MAX) + 1)) ||
		    wl_keep(reallocarray(p[i], wl_size(PTRDIFF_MAX), wl_size(8))))
			_exit(91);
	wl_alloc(__func__, 0, 0);
}

WL_NOINLINE static void by_array(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(reallocarray(p[i], wl_size(11), wl_size(13)));
	wl_free("grow_mapped_again", N, 900000 * N);
	wl_alloc(__func__, N, 143 * N);
}

WL_NOINLINE static void to_zero(void)
{
	for (int i = 0; i < N / 2; i++) {
		wl_free("by_array", 1, 143);
		if (wl_keep(realloc(p[i], wl_size(0))))
			wl_alloc(__func__, 1, 0);
	}
}

/* A chain through every size: the end is what stays. */
WL_NOINLINE static void chain(void)
{
	void *q = NULL;

	for (size_t n = 1; n <= 2000; n++) {
		q = wl_keep(realloc(q, wl_size(n)));
		wl_alloc(__func__, 1, n);
		if (n > 1)
			wl_free(__func__, 1, n - 1);
	}
}

static void work(void)
{
	first();
	shrink();
	grow_move();
	grow_mapped();
	grow_mapped_again();
	fail();
	by_array();
	to_zero();
	chain();
}

int main(void)
{
	return wl_main(work);
}
