// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does what its argument says, one letter a step: m malloc and its like, p an allocator of its own
 * under a prefix (jealloc.c), t threads that allocate, d a library loaded now that has such an
 * allocator (PLUG), x exec of itself for the rest. Says what the steps since the last exec did.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include "jealloc.h"
#include "wl.h"

enum { N = 400, THREADS = 3 };

#define IMAGE(i)                                       \
	WL_NOINLINE static void *malloc_##i(size_t n)  \
	{                                              \
		return wl_keep(malloc(wl_size(n)));    \
	}                                              \
	WL_NOINLINE static void *calloc_##i(size_t n)  \
	{                                              \
		return wl_keep(calloc(1, wl_size(n))); \
	}                                              \
	WL_NOINLINE static void *pool_##i(size_t n)    \
	{                                              \
		return wl_keep(je_malloc(wl_size(n))); \
	}
IMAGE(0)
IMAGE(1)

static const struct {
	void *(*malloc)(size_t), *(*calloc)(size_t), *(*pool)(size_t);
	const char *name[3];
} images[] = {{malloc_0, calloc_0, pool_0, {"malloc_0", "calloc_0", "pool_0"}},
	      {malloc_1, calloc_1, pool_1, {"malloc_1", "calloc_1", "pool_1"}}};
static int image;

static void mallocs(void)
{
	for (int i = 0; i < N; i++) {
		void *a = images[image].malloc(4096), *b = images[image].calloc(3000);

		if (i % 2)
			free(a);
		if (i % 4)
			free(b);
	}
}

static void account(uint64_t times)
{
	wl_alloc(images[image].name[0], N * times, N * times * 4096);
	wl_free(images[image].name[0], N * times / 2, N * times / 2 * 4096);
	wl_alloc(images[image].name[1], N * times, N * times * 3000);
	wl_free(images[image].name[1], N * times * 3 / 4, N * times * 3 / 4 * 3000);
}

static void pool(void)
{
	for (int i = 0; i < N; i++) {
		void *p = images[image].pool(2000);

		if (i % 2)
			je_free(p);
	}
	wl_alloc(images[image].name[2], N, N * 2000);
	wl_free(images[image].name[2], N / 2, N / 2 * 2000);
}

static void *thread(void *arg)
{
	mallocs();
	return arg;
}

static void threads(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, thread, NULL))
			_exit(90);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	account(THREADS);
}

/* Its probes are in when memwatch has seen it: the test says so with a line. */
static void plug(const char *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	unsigned long objects = 0, bytes = 0;
	void (*f)(unsigned long *, unsigned long *) =
		lib ? (void (*)(unsigned long *, unsigned long *))dlsym(lib, "own_work") : NULL;

	if (!f)
		_exit(91);
	wl_say("loaded");
	wl_wait();
	f(&objects, &bytes);
	wl_alloc("own_work", objects, bytes);
}

int main(int argc, char **argv)
{
	const char *s = argv[1];

	image = argc > 3;
	if (!image)
		wl_ready_go();
	for (; *s; s++) {
		switch (*s) {
		case 'm':
			mallocs();
			account(1);
			break;
		case 'p': pool(); break;
		case 't': threads(); break;
		case 'd': plug(argv[2]); break;
		case 'x':
			execl("/proc/self/exe", argv[0], s + 1, argv[2], "again", (char *)NULL);
			_exit(92);
		}
	}
	wl_done();
	wl_wait();
	return 0;
}
