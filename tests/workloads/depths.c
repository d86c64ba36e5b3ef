// SPDX-License-Identifier: GPL-2.0-or-later
/* Few blocks from deep stacks, which stay, until a line comes: what is sampled costs far more than
 * the calls do. */
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include "wl.h"

enum { DEPTH = 100, A_STEP = 8 };

WL_NOINLINE static void *at_depth(int n)
{
	void *volatile p = n ? at_depth(n - 1) : wl_keep(malloc(wl_size(500)));

	return p;
}

WL_NOINLINE static void from_deep(void)
{
	for (int i = 0; i < A_STEP; i++) {
		at_depth(DEPTH);
		wl_alloc(__func__, 1, 500);
	}
}

static void work(void)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};

	while (!poll(&in, 1, 0)) {
		from_deep();
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	wl_wait();
}

int main(void)
{
	return wl_main(work);
}
