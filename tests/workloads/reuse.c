// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reuse [PAIRS]: address reuse under stress. Two threads, one size class; blocks pass from thread
 * to thread through one slot, so that an address is freed by one and handed out to the other in
 * the same microsecond. At the end nothing is in use but what stay() kept.
 */
#include <pthread.h>
#include <stdlib.h>
#include "wl.h"

static unsigned long pairs = 20000;
static pthread_barrier_t start, end;
static void *slot;
static struct wl_fn *f_swap;

WL_NOINLINE static void swap_blocks(void)
{
	unsigned long frees = 0;

	for (unsigned long i = 0; i < pairs; i++) {
		void *p = wl_keep(malloc(wl_size(48)));

		p = __atomic_exchange_n(&slot, p, __ATOMIC_ACQ_REL);
		if (p) {
			free(p);
			frees++;
		}
	}
	wl_add(f_swap, pairs, 48 * pairs, frees, 48 * frees);
}

static void *body(void *arg)
{
	pthread_barrier_wait(&start);
	swap_blocks();
	pthread_barrier_wait(&end);
	pthread_barrier_wait(&start);
	return arg;
}

WL_NOINLINE static void stay(void)
{
	for (int i = 0; i < 100; i++)
		wl_keep(malloc(wl_size(48)));
	wl_alloc(__func__, 100, 4800);
}

static void work(void)
{
	pthread_barrier_wait(&start);
	swap_blocks();
	pthread_barrier_wait(&end);
	free(slot);
	wl_free("swap_blocks", 1, 48);
	stay();
}

int main(int argc, char **argv)
{
	pthread_t th;

	if (argc > 1)
		pairs = strtoul(argv[1], NULL, 10);
	f_swap = wl_fn("swap_blocks");
	pthread_barrier_init(&start, NULL, 2);
	pthread_barrier_init(&end, NULL, 2);
	if (pthread_create(&th, NULL, body, NULL))
		return 90;
	return wl_main(work);
}
