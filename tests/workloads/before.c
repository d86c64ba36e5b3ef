// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blocks from before the attach, freed and reallocated after it: they are no part of the profile,
 * must not make anything negative, and the books say how many there were. A realloc of such a
 * block is an allocation of the new one.
 */
#include <stdlib.h>
#include "wl.h"

#define N 60
static void *old[N];

WL_NOINLINE static void anew(void)
{
	for (int i = 0; i < N / 2; i++)
		free(old[i]);
	for (int i = N / 2; i < N; i++)
		old[i] = wl_keep(realloc(old[i], wl_size(1717)));
	wl_alloc(__func__, N / 2, 1717 * (N / 2));
}

int main(void)
{
	for (int i = 0; i < N; i++)
		old[i] = wl_keep(malloc(wl_size(1000)));
	return wl_main(anew);
}
