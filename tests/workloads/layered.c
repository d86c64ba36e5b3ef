// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program whose allocator may lie over others (layer.c): several threads allocate, resize and
 * free blocks of known sizes, and one of them half of the time in a function with a large frame
 * that nobody initialises, in which old return addresses lie about.
 */
#include <pthread.h>
#include <stdlib.h>
#include "wl.h"

enum { THREADS = 3, N = 3000 };

WL_NOINLINE static void *plain(int i)
{
	return wl_keep(malloc(wl_size(4096 + (size_t)i % 2)));
}

WL_NOINLINE static void *zeroed(int i)
{
	return wl_keep(calloc(wl_size(3), wl_size(1000 + (size_t)i % 2)));
}

WL_NOINLINE static void *in_large_frame(int i)
{
	char frame[8192];

	wl_keep(frame);
	return wl_keep(calloc(wl_size(5), wl_size(1000)));
}

WL_NOINLINE static void *grown(void *p, int i)
{
	return wl_keep(realloc(p, wl_size(6000)));
}

static void *work_of_thread(void *arg)
{
	for (int i = 0; i < N; i++) {
		void *p = plain(i), *z = zeroed(i), *f = in_large_frame(i);

		if (i % 4)
			free(p);
		if (i % 3 == 0)
			z = grown(z, i);
		if (i % 2)
			free(z);
		if (i % 5)
			free(f);
	}
	return arg;
}

static void account(void)
{
	for (int i = 0; i < N; i++) {
		wl_alloc("plain", THREADS, THREADS * (4096 + (uint64_t)i % 2));
		if (i % 4)
			wl_free("plain", THREADS, THREADS * (4096 + (uint64_t)i % 2));
		wl_alloc("zeroed", THREADS, THREADS * 3 * (1000 + (uint64_t)i % 2));
		if (i % 3 == 0) {
			wl_free("zeroed", THREADS, THREADS * 3 * (1000 + (uint64_t)i % 2));
			wl_alloc("grown", THREADS, THREADS * 6000);
			if (i % 2)
				wl_free("grown", THREADS, THREADS * 6000);
		} else if (i % 2) {
			wl_free("zeroed", THREADS, THREADS * 3 * (1000 + (uint64_t)i % 2));
		}
		wl_alloc("in_large_frame", THREADS, THREADS * 5000);
		if (i % 5)
			wl_free("in_large_frame", THREADS, THREADS * 5000);
	}
}

static void work(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, work_of_thread, NULL))
			_exit(90);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	account();
}

int main(void)
{
	return wl_main(work);
}
