// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lateload LIB.so THREADS N [DEPTH]: opens the library and calls late_work(N) in it in the same
 * breath, in the main thread (0 threads) or in so many that wait for it to be open, below DEPTH
 * frames of 8 kB.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include "wl.h"

static pthread_barrier_t open_now;
static void (*late_work)(unsigned long);
static unsigned long n;
static int depth;

WL_NOINLINE static void call_late(int deeper)
{
	volatile char frame[8192];

	frame[0] = 1;
	if (deeper)
		call_late(deeper - 1);
	else
		late_work(n);
	__asm__ volatile(""); /* no tail call */
}

static void *thread(void *arg)
{
	pthread_barrier_wait(&open_now);
	call_late(depth);
	return arg;
}

int main(int argc, char **argv)
{
	int threads = argc >= 4 ? atoi(argv[2]) : -1;
	pthread_t id[16];
	void *lib;

	if (threads < 0 || threads > 16)
		return 2;
	n = strtoul(argv[3], NULL, 10);
	depth = argc > 4 ? atoi(argv[4]) : 0;
	pthread_barrier_init(&open_now, NULL, threads + 1);
	for (int i = 0; i < threads; i++)
		pthread_create(&id[i], NULL, thread, NULL);
	wl_ready_go();
	lib = dlopen(argv[1], RTLD_NOW);
	if (!lib)
		return 3;
	late_work = (void (*)(unsigned long))dlsym(lib, "late_work");
	pthread_barrier_wait(&open_now);
	if (!threads)
		call_late(depth);
	for (int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	wl_done();
	wl_wait();
	return 0;
}
