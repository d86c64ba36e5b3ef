/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * twice.c - says "ready"; after a line loads the C library a second time, into a namespace of its
 * own, and says "loaded"; after another line allocates from both and says "done {json}"; ends at
 * the next.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include "wl.h"

#define BLOCKS 4000
#define SIZE 1000

static void *(*theirs)(size_t);
static void (*give_back)(void *);

WL_NOINLINE static void *from_ours(void)
{
	return wl_keep(malloc(wl_size(SIZE)));
}

WL_NOINLINE static void *from_theirs(void)
{
	return wl_keep(theirs(wl_size(SIZE)));
}

int main(void)
{
	void *lib, *a, *b;

	wl_say("ready");
	wl_wait();
	lib = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	if (!lib)
		return 90;
	*(void **)&theirs = dlsym(lib, "malloc");
	*(void **)&give_back = dlsym(lib, "free");
	wl_say("loaded");
	wl_wait();
	for (int i = 0; i < BLOCKS; i++) {
		a = from_ours();
		b = from_theirs();
		if (i % 2) {
			free(a);
			give_back(b);
		}
	}
	wl_alloc("from_ours", BLOCKS, BLOCKS * SIZE);
	wl_alloc("from_theirs", BLOCKS, BLOCKS * SIZE);
	wl_free("from_ours", BLOCKS / 2, BLOCKS / 2 * SIZE);
	wl_free("from_theirs", BLOCKS / 2, BLOCKS / 2 * SIZE);
	wl_done();
	wl_wait();
	return 0;
}
