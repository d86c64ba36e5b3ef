// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Families of functions whose names end as an allocator's do (pools.c has the plainer ones):
 *   (nothing)   x_malloc(where, n) and its like over malloc, with a note of who asked
 *   -DHOOKS     x_malloc(kind, n) over functions that are set at run time
 *   -DFLAGS     x_malloc(flags, n) over memory of its own: nobody can know its blocks
 *   -DUNITS     x_malloc(n) gives n times 8 bytes of malloc's
 *   -DFAMOUS    the names of known allocators for other things: mi_new(title), tc_free(tree), …
 *   -DRESERVED  static functions __malloc(zone, n), __free(zone, p)
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "wl.h"

enum { N = 1000, SIZE = 4096 };

static char *base;
static size_t used, notes[8];
static const char *volatile last;

#ifdef FLAGS
static void *block(size_t n)
{
	if (!base)
		base = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	used += (n + 15) & ~15UL;
	return used <= 64 << 20 ? base + used - ((n + 15) & ~15UL) : NULL;
}
#define give(p) ((void)(p))
#elif defined(HOOKS)
static volatile struct { /* or the compiler calls them directly */
	void *(*alloc)(size_t n);
	void *(*resize)(void *p, size_t n);
	void (*release)(void *p);
} hooks = {malloc, realloc, free};
#define block(n) hooks.alloc(n)
#define give(p) hooks.release(p)
#else
#define block(n) malloc(n)
#define give(p) free(p)
#endif

#ifdef FAMOUS
struct item {
	char *title;
	struct item *next;
};

WL_NOINLINE struct item *mi_new(const char *title) /* a menu item */
{
	struct item *m = malloc(sizeof(*m));

	m->title = malloc(wl_size(100));
	last = title;
	return m;
}

WL_NOINLINE void mi_free(struct item *m)
{
	free(m->title);
	free(m);
}

WL_NOINLINE size_t tc_malloc(size_t id, size_t n) /* a class of traffic */
{
	notes[id & 7] += n;
	return notes[id & 7];
}

WL_NOINLINE void tc_free(struct item *tree)
{
	while (tree)
		tree = tree->next;
}

WL_NOINLINE struct item *sn_calloc(const char *name) /* a screen */
{
	last = name;
	return NULL;
}

WL_NOINLINE static struct item *grow(int i)
{
	struct item *m = mi_new("title");

	tc_malloc(wl_size((size_t)i), wl_size(1UL << 40));
	tc_free(sn_calloc("screen"));
	return wl_keep(m);
}

static void work(void)
{
	for (int i = 0; i < N; i++) {
		struct item *m = grow(i);

		m->next = NULL;
		if (i % 2)
			mi_free(m);
	}
	wl_alloc("grow", 2 * N, N * (sizeof(struct item) + 100));
	wl_free("grow", N, N / 2 * (sizeof(struct item) + 100));
}
#elif defined(RESERVED)
struct zone {
	size_t blocks;
};
static struct zone zone;

WL_NOINLINE static void *__malloc(struct zone *z, size_t n)
{
	z->blocks++;
	return malloc(n);
}

WL_NOINLINE static void *__realloc(struct zone *z, void *old, size_t n)
{
	z->blocks += !old;
	return realloc(old, n);
}

WL_NOINLINE static void __free(struct zone *z, void *p)
{
	z->blocks--;
	free(p);
}

WL_NOINLINE static void *grow(int i)
{
	return wl_keep(i % 3 ? __malloc(&zone, wl_size(SIZE))
			     : __realloc(&zone, NULL, wl_size(SIZE)));
}

static void work(void)
{
	for (int i = 0; i < N; i++) {
		void *p = grow(i);

		if (i % 2)
			__free(&zone, p);
	}
	wl_alloc("grow", N, N * SIZE);
	wl_free("grow", N / 2, N / 2 * SIZE);
}
#else
#ifdef UNITS
#define FIRST
#define GIVEN
#define NOTE ((void)0)
#define BYTES(n) ((n)*8)
#elif defined(HOOKS) || defined(FLAGS)
#define FIRST int kind,
#define GIVEN i % 8,
#define NOTE (notes[kind & 7]++)
#define BYTES(n) (n)
#else
#define FIRST const char *where,
#define GIVEN "here",
#define NOTE (last = where)
#define BYTES(n) (n)
#endif

WL_NOINLINE void *x_malloc(FIRST size_t n)
{
	NOTE;
	return block(BYTES(n));
}

WL_NOINLINE void *x_calloc(FIRST size_t a, size_t b)
{
	NOTE;
	return block(BYTES(a * b));
}

WL_NOINLINE void *x_realloc(FIRST void *old, size_t n)
{
	NOTE;
	give(old);
	return block(BYTES(n));
}

WL_NOINLINE void *x_memalign(FIRST size_t alignment, size_t n)
{
	NOTE;
	return block(BYTES(n + alignment));
}

WL_NOINLINE void x_free(FIRST void *p)
{
	NOTE;
	give(p);
}

WL_NOINLINE static void *grow(int i)
{
	return wl_keep(i % 3 ? x_malloc(GIVEN wl_size(SIZE)) : x_calloc(GIVEN wl_size(SIZE), 1));
}

static void work(void)
{
	for (int i = 0; i < N; i++) {
		void *p = grow(i);

		if (i % 2)
			x_free(GIVEN p);
		if (i < 0)
			wl_keep(x_realloc(GIVEN x_memalign(GIVEN 16, 16), 1));
	}
#ifndef FLAGS
	wl_alloc("grow", N, N * BYTES(SIZE));
	wl_free("grow", N / 2, N / 2 * BYTES(SIZE));
#endif
}
#endif

int main(void)
{
	return wl_main(work);
}
