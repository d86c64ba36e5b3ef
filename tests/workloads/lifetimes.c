/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lifetimes.c - blocks of known sizes that live for known times:
 * temporary(): 1000 of 24 and 500 of 5000 bytes, freed at once; medium(): 40 of 100 bytes, freed
 * half a second later; grown(): 30 of 64 bytes, at once made 300 bytes by realloc and kept;
 * kept(): 7 of 1 MiB and 3 of no byte at all, kept. */
#include <stdlib.h>
#include <time.h>

#include "wl.h"

static void *held[64];

WL_NOINLINE static void temporary(void)
{
	for (int i = 0; i < 1500; i++) {
		size_t n = wl_size(i < 1000 ? 24 : 5000);

		free(wl_keep(malloc(n)));
		wl_alloc("temporary", 1, n);
		wl_free("temporary", 1, n);
	}
}

WL_NOINLINE static void medium(void)
{
	for (int i = 0; i < 40; i++)
		held[i] = wl_keep(malloc(wl_size(100)));
	wl_alloc("medium", 40, 40 * 100);
}

WL_NOINLINE static void grown(void)
{
	for (int i = 0; i < 30; i++)
		wl_keep(realloc(wl_keep(malloc(wl_size(64))), wl_size(300)));
	wl_alloc("grown", 60, 30 * (64 + 300));
	wl_free("grown", 30, 30 * 64);
}

WL_NOINLINE static void kept(void)
{
	for (int i = 0; i < 10; i++)
		wl_keep(malloc(wl_size(i < 7 ? 1 << 20 : 0)));
	wl_alloc("kept", 10, 7 << 20);
}

static void work(void)
{
	struct timespec half = {.tv_nsec = 500000000};

	medium();
	temporary();
	grown();
	kept();
	while (nanosleep(&half, &half))
		;
	for (int i = 0; i < 40; i++)
		free(held[i]);
	wl_free("medium", 40, 40 * 100);
}

int main(void)
{
	return wl_main(work);
}
