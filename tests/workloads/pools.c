// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A whole family of functions under a prefix that no allocator has.
 *   (nothing)  the pool comes first; blocks are malloc's
 *   -DARENA    the pool comes first; blocks are cut from the pool's own memory
 *   -DPLAIN    the standard arguments; blocks are cut from an arena: an allocator by any name
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "wl.h"

enum { N = 1000, SIZE = 4096 };

struct pool {
	char *base;
	size_t used, blocks;
};
static struct pool pool;

static void *cut(struct pool *p, size_t n)
{
	char *r;

	if (!p->base)
		p->base = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
	r = p->base + p->used;
	p->used += (n + 15) & ~15UL;
	return p->used <= 64 << 20 ? r : NULL;
}

#ifdef PLAIN
#define POOL
#define WITH
#define THE (&pool)
#else
#define POOL struct pool *p,
#define WITH &pool,
#define THE p
#endif
#if defined(ARENA) || defined(PLAIN)
#define BLOCK(n) cut(THE, n)
#define GIVE(o) ((void)(o))
#else
#define BLOCK(n) malloc(n)
#define GIVE(o) free(o)
#endif

WL_NOINLINE void *pool_malloc(POOL size_t n)
{
	void *r = BLOCK(n);

	(THE)->blocks++;
	return r;
}

WL_NOINLINE void *pool_calloc(POOL size_t a, size_t b)
{
	void *r = BLOCK(a * b);

	(THE)->blocks++;
	return r;
}

WL_NOINLINE void *pool_realloc(POOL void *old, size_t n)
{
	void *r = BLOCK(n);

	GIVE(old);
	(THE)->blocks++;
	return r;
}

WL_NOINLINE void *pool_memalign(POOL size_t alignment, size_t n)
{
	void *r = BLOCK(n + alignment * 0);

	(THE)->blocks++;
	return r;
}

WL_NOINLINE void pool_free(POOL void *o)
{
	(THE)->blocks--;
	GIVE(o);
}

WL_NOINLINE static void *grow(void)
{
	return wl_keep(pool_malloc(WITH wl_size(SIZE)));
}

static void work(void)
{
	for (int i = 0; i < N; i++) {
		void *b = grow();

		if (i % 2)
			pool_free(WITH b);
	}
#ifndef ARENA /* whose blocks nobody can know */
	wl_alloc("grow", N, N * SIZE);
	wl_free("grow", N / 2, N / 2 * SIZE);
#endif
	if (wl_size(0)) {
		wl_keep(pool_calloc(WITH 1, 1));
		wl_keep(pool_realloc(WITH NULL, 1));
		wl_keep(pool_memalign(WITH 64, 64));
	}
}

int main(void)
{
	return wl_main(work);
}
