// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Eight threads that exist before "ready" and stay until the end (so that thread creation itself
 * allocates nothing in between). Each allocates, hands half of its blocks to its neighbour, which
 * frees them, and keeps some. Then all of them fight for the same few size classes, so that
 * addresses go from thread to thread at once.
 */
#include <pthread.h>
#include <stdlib.h>
#include "wl.h"

#define THREADS 8
#define BLOCKS 400
#define KEEP 37
#define PAIRS 3000

static void *handed[THREADS][BLOCKS];
static pthread_barrier_t start, between, end;
static struct wl_fn *f_keep, *f_hand, *f_fight, *f_grow;

static size_t size_of(int thread, int i)
{
	return (size_t)(16 + 8 * thread + i);
}

WL_NOINLINE static void keep_some(int t)
{
	for (int i = 0; i < KEEP; i++)
		wl_keep(malloc(wl_size(size_of(t, i))));
	for (int i = 0; i < KEEP; i++)
		wl_add(f_keep, 1, size_of(t, i), 0, 0);
}

WL_NOINLINE static void hand_over(int t)
{
	for (int i = 0; i < BLOCKS; i++) {
		handed[t][i] = wl_keep(malloc(wl_size(size_of(t, i))));
		wl_add(f_hand, 1, size_of(t, i), 0, 0);
	}
}

WL_NOINLINE static void take_over(int t)
{
	int from = (t + 1) % THREADS;

	for (int i = 0; i < BLOCKS; i++) {
		free(handed[from][i]);
		wl_add(f_hand, 0, 0, 1, size_of(from, i));
	}
}

WL_NOINLINE static void fight(int t)
{
	for (int i = 0; i < PAIRS; i++)
		free(wl_keep(malloc(wl_size(64))));
	wl_add(f_fight, PAIRS, 64 * PAIRS, PAIRS, 64 * PAIRS);
}

WL_NOINLINE static void grow(int t)
{
	void *p = NULL;

	for (int i = 1; i <= 300; i++) {
		p = wl_keep(realloc(p, wl_size((size_t)i * 16)));
		wl_add(f_grow, 1, (size_t)i * 16, i > 1, (size_t)(i - 1) * 16);
	}
	free(p);
	wl_add(f_grow, 0, 0, 1, 4800);
}

static void *body(void *arg)
{
	int t = (int)(intptr_t)arg;

	pthread_barrier_wait(&start);
	keep_some(t);
	hand_over(t);
	pthread_barrier_wait(&between);
	take_over(t);
	fight(t);
	grow(t);
	pthread_barrier_wait(&end);
	pthread_barrier_wait(&start); /* until the process ends */
	return NULL;
}

static void work(void)
{
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&between);
	pthread_barrier_wait(&end);
}

int main(void)
{
	pthread_t th;

	f_keep = wl_fn("keep_some");
	f_hand = wl_fn("hand_over");
	f_fight = wl_fn("fight");
	f_grow = wl_fn("grow");
	pthread_barrier_init(&start, NULL, THREADS + 1);
	pthread_barrier_init(&between, NULL, THREADS + 1);
	pthread_barrier_init(&end, NULL, THREADS + 1);
	for (int t = 0; t < THREADS; t++)
		if (pthread_create(&th, NULL, body, (void *)(intptr_t)t))
			_exit(90);
	return wl_main(work);
}
