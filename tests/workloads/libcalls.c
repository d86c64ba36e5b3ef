// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocates directly and through the C library's own calls, in two threads. What each function
 * holds and has allocated must not depend on what lies over the C library's allocator.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "wl.h"

enum { N = 300 };

WL_NOINLINE static char *by_strdup(void)
{
	return wl_keep(strdup("a line that is copied again and again"));
}

WL_NOINLINE static char *by_asprintf(int i)
{
	char *s = NULL;

	return asprintf(&s, "%200d", i) < 0 ? NULL : wl_keep(s);
}

WL_NOINLINE static char *by_getline(FILE *f)
{
	char *line = NULL;
	size_t n = 0;

	rewind(f);
	return getline(&line, &n, f) < 0 ? NULL : wl_keep(line);
}

WL_NOINLINE static char *by_realpath(void)
{
	return wl_keep(realpath("/proc/self/..", NULL));
}

WL_NOINLINE static void *by_memalign(int i)
{
	void *p = NULL;

	return posix_memalign(&p, 64u << i % 4, wl_size(900 + (size_t)i)) ? NULL : wl_keep(p);
}

WL_NOINLINE static void *by_calloc(int i)
{
	return wl_keep(calloc(wl_size(7), wl_size(100 + (size_t)i)));
}

WL_NOINLINE static void *by_realloc(void *p, int i)
{
	return wl_keep(realloc(p, wl_size(3000 + (size_t)i)));
}

WL_NOINLINE static void *by_malloc(int i)
{
	return wl_keep(malloc(wl_size(2000 + (size_t)i)));
}

static void *thread(void *arg)
{
	FILE *f = arg;

	for (int i = 0; i < N; i++) {
		void *p[] = {by_strdup(),
			     by_asprintf(i),
			     f ? by_getline(f) : NULL,
			     by_realpath(),
			     by_memalign(i),
			     by_calloc(i),
			     by_malloc(i),
			     NULL};

		p[7] = by_realloc(i % 2 ? by_malloc(i) : NULL, i);
		for (int k = 0; k < 8; k++)
			if ((i + k) % 3)
				free(p[k]);
	}
	return arg;
}

static void work(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	pthread_t t;

	if (!f || pthread_create(&t, NULL, thread, NULL))
		_exit(90);
	pthread_join(t, NULL);
	thread(f);
	fclose(f);
	for (int i = 0; i < N; i++) { /* those whose truth does not depend on the C library */
		size_t at = 6;

		for (int w = 0; w < 2; w++) {
			wl_alloc("by_malloc", 1, 2000 + (uint64_t)i);
			wl_alloc("by_realloc", 1, 3000 + (uint64_t)i);
			wl_alloc("by_calloc", 1, 7 * (100 + (uint64_t)i));
			wl_alloc("by_memalign", 1, 900 + (uint64_t)i);
			wl_alloc("by_strdup", 1, 38);
			if ((i + at) % 3)
				wl_free("by_malloc", 1, 2000 + (uint64_t)i);
			if (i % 2) {
				wl_alloc("by_malloc", 1, 2000 + (uint64_t)i);
				wl_free("by_malloc", 1, 2000 + (uint64_t)i);
			}
			if ((i + 7) % 3)
				wl_free("by_realloc", 1, 3000 + (uint64_t)i);
			if ((i + 5) % 3)
				wl_free("by_calloc", 1, 7 * (100 + (uint64_t)i));
			if ((i + 4) % 3)
				wl_free("by_memalign", 1, 900 + (uint64_t)i);
			if (i % 3)
				wl_free("by_strdup", 1, 38);
		}
	}
}

int main(void)
{
	return wl_main(work);
}
