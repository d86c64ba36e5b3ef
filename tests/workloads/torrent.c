// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocates and frees as fast as it can until a line comes, then a little that stays.
 */
#include <poll.h>
#include <stdlib.h>
#include "wl.h"

#define ROUND 100000
#define STAY 20000

static void *blocks[STAY];

WL_NOINLINE static void torrent(void)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};

	while (!poll(&in, 1, 0)) {
		for (int i = 0; i < ROUND; i++)
			free(wl_keep(malloc(wl_size(240))));
		wl_alloc(__func__, ROUND, 240ULL * ROUND);
		wl_free(__func__, ROUND, 240ULL * ROUND);
	}
	wl_wait();
}

WL_NOINLINE static void stays(void)
{
	for (int i = 0; i < STAY; i++)
		blocks[i] = wl_keep(malloc(wl_size(3000)));
	wl_alloc(__func__, STAY, 3000ULL * STAY);
}

static void work(void)
{
	torrent();
	stays();
}

int main(void)
{
	return wl_main(work);
}
