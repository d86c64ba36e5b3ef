// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many blocks of several sizes at several places, for the statistics of sampling: each function
 * allocates a known number of blocks of one size and frees a known part of them.
 */
#include <stdlib.h>
#include "wl.h"

#define MAX 60000
static void *blocks[MAX];

/* Allocates n blocks of `size` bytes and frees the first `gone`. */
#define PLACE(fn, n, size, gone)                                    \
	WL_NOINLINE static void fn(void)                            \
	{                                                           \
		for (int i = 0; i < (n); i++)                       \
			blocks[i] = wl_keep(malloc(wl_size(size))); \
		for (int i = 0; i < (gone); i++)                    \
			free(blocks[i]);                            \
		wl_alloc(__func__, n, (uint64_t)(n) * (size));      \
		wl_free(__func__, gone, (uint64_t)(gone) * (size)); \
	}

PLACE(tiny, 60000, 24, 20000)
PLACE(small, 40000, 200, 10000)
PLACE(middle, 20000, 4000, 12000)
PLACE(large, 3000, 70000, 2000)
PLACE(huge, 200, 2000000, 150)
PLACE(all_freed, 20000, 900, 20000)

static void work(void)
{
	tiny();
	small();
	middle();
	large();
	huge();
	all_freed();
}

int main(void)
{
	return wl_main(work);
}
