// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A storm of short-lived threads: 1000 of them, at most 50 at a time, each with its own stack and
 * id, each allocating, freeing most and keeping one block. What pthread_create allocates is its
 * own affair: only storm_body and storm_keep are exactly known.
 */
#include <pthread.h>
#include <stdlib.h>
#include "wl.h"

#define ROUNDS 20
#define AT_ONCE 50
#define PAIRS 40

static struct wl_fn *f_body, *f_keep;

WL_NOINLINE static void storm_keep(void)
{
	wl_keep(malloc(wl_size(333)));
	wl_add(f_keep, 1, 333, 0, 0);
}

WL_NOINLINE static void storm_body(void)
{
	for (int i = 0; i < PAIRS; i++)
		free(wl_keep(malloc(wl_size(222))));
	wl_add(f_body, PAIRS, 222 * PAIRS, PAIRS, 222 * PAIRS);
}

static void *body(void *arg)
{
	storm_body();
	storm_keep();
	return arg;
}

static void work(void)
{
	pthread_t th[AT_ONCE];

	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < AT_ONCE; i++)
			if (pthread_create(&th[i], NULL, body, NULL))
				_exit(90);
		for (int i = 0; i < AT_ONCE; i++)
			pthread_join(th[i], NULL);
	}
}

int main(void)
{
	f_body = wl_fn("storm_body");
	f_keep = wl_fn("storm_keep");
	return wl_main(work);
}
