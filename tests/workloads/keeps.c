/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keeps.c - every 10 ms four blocks of 4000 bytes from request(): one is freed at once, three stay.
 * Says "ready", waits for a line, and goes on until it is killed (or 20000 requests are done). */
#include <stdlib.h>
#include <time.h>

#include "wl.h"

WL_NOINLINE static void request(void)
{
	void *p[4];

	for (int i = 0; i < 4; i++)
		p[i] = wl_keep(malloc(wl_size(4000)));
	free(p[2]);
}

int main(void)
{
	struct timespec pause = {.tv_nsec = 10000000};

	wl_ready_go();
	for (int i = 0; i < 20000; i++) {
		request();
		nanosleep(&pause, NULL);
	}
	return 0;
}
