// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * relay: each thread starts the next and ends, the main thread first. The next waits for the end of
 * the one before, says "on" and waits for a line; the fourth allocates.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "wl.h"

#define RUNNERS 3

static int runner;

WL_NOINLINE static void last_lap(void)
{
	for (int i = 0; i < 40; i++)
		wl_keep(malloc(wl_size(1111)));
	wl_alloc("last_lap", 40, 40 * 1111);
}

static void *run(void *before)
{
	pthread_t next, self = pthread_self();

	pthread_join((pthread_t)before, NULL);
	wl_say("on");
	wl_wait();
	if (++runner < RUNNERS) {
		if (pthread_create(&next, NULL, run, (void *)self))
			_exit(3);
		return NULL;
	}
	last_lap();
	wl_done();
	wl_wait();
	_exit(0);
}

int main(void)
{
	pthread_t next;

	wl_ready_go();
	if (pthread_create(&next, NULL, run, (void *)pthread_self()))
		return 3;
	pthread_exit(NULL);
}
