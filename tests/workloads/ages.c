/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ages.c - stacks that the ages of their blocks tell apart: a queue of fixed length that fills in a
 * line and then drops its oldest; requests that live half a second, more of them all the time;
 * blocks of which one in twenty is forgotten. Says "ready", waits for "go", then "done".
 * usage: ages [TICK_MS [TICKS]]
 */
#include <stdlib.h>
#include <time.h>

#include "wl.h"

#define MAX_LIVE 16384

static void *queue[MAX_LIVE], *request[MAX_LIVE], *recent[20];
static int nqueued, first_request, nrequests;

WL_NOINLINE static void bounded_queue(int places)
{
	for (int i = 0; i < 4; i++, nqueued++) {
		free(queue[nqueued % places]);
		queue[nqueued % places] = wl_keep(malloc(wl_size(2000)));
	}
}

/* Of every tick's requests those of 50 ticks ago end. */
WL_NOINLINE static void rising_load(int tick)
{
	static int born[MAX_LIVE];

	while (first_request < nrequests && tick - born[first_request % MAX_LIVE] >= 50)
		free(request[first_request++ % MAX_LIVE]);
	for (int i = 0; i < 2 + tick / 20; i++, nrequests++) {
		request[nrequests % MAX_LIVE] = wl_keep(malloc(wl_size(1000)));
		born[nrequests % MAX_LIVE] = tick;
	}
}

WL_NOINLINE static void forgets_some(void)
{
	for (int i = 0; i < 20; i++) {
		if (i)
			free(recent[i]);
		recent[i] = wl_keep(malloc(wl_size(3000)));
	}
}

int main(int argc, char **argv)
{
	int tick_ms = argc > 1 ? atoi(argv[1]) : 10, ticks = argc > 2 ? atoi(argv[2]) : 800;
	struct timespec next;

	wl_ready_go();
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (int t = 0; t < ticks; t++) {
		bounded_queue(ticks * 4 * 4 / 10);
		rising_load(t);
		forgets_some();
		/* by the clock: a busy machine must not bend the lines */
		next.tv_nsec += tick_ms * 1000000L;
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	wl_done();
	wl_wait();
	return 0;
}
