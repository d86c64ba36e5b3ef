// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many short threads: blocks that a destructor of thread-specific data frees at the thread's end,
 * blocks that another thread frees, blocks that stay. Their caches are not empty when they end.
 */
#include <pthread.h>
#include <stdlib.h>
#include "wl.h"

enum { ROUNDS = 150, TOGETHER = 4 };
static pthread_key_t key;
static void *passed[TOGETHER];

WL_NOINLINE static void *until_the_end(void)
{
	return wl_keep(malloc(wl_size(700)));
}

WL_NOINLINE static void *for_the_next(void)
{
	return wl_keep(calloc(1, wl_size(1100)));
}

WL_NOINLINE static void *for_ever(void)
{
	return wl_keep(malloc(wl_size(90)));
}

WL_NOINLINE static void cached(void)
{
	void *p[20];

	for (int i = 0; i < 20; i++)
		p[i] = wl_keep(malloc(wl_size(16 * (size_t)(i + 1))));
	for (int i = 0; i < 20; i++)
		free(p[i]);
}

static void *short_life(void *arg)
{
	void **slot = arg, *old = *slot;

	pthread_setspecific(key, until_the_end());
	cached();
	*slot = for_the_next();
	free(old);
	for_ever();
	return NULL;
}

static void work(void)
{
	enum { N = ROUNDS * TOGETHER };

	for (int r = 0; r < ROUNDS; r++) {
		pthread_t t[TOGETHER];

		for (int i = 0; i < TOGETHER; i++)
			if (pthread_create(&t[i], NULL, short_life, &passed[i]))
				_exit(90);
		for (int i = 0; i < TOGETHER; i++)
			pthread_join(t[i], NULL);
	}
	wl_alloc("until_the_end", N, N * 700);
	wl_free("until_the_end", N, N * 700);
	wl_alloc("cached", N * 20, N * 16 * 210);
	wl_free("cached", N * 20, N * 16 * 210);
	wl_alloc("for_the_next", N, N * 1100);
	wl_free("for_the_next", N - TOGETHER, (N - TOGETHER) * 1100);
	wl_alloc("for_ever", N, N * 90);
}

int main(void)
{
	if (pthread_key_create(&key, free))
		return 91;
	return wl_main(work);
}
