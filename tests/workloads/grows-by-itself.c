// SPDX-License-Identifier: GPL-2.0-or-later
/* Grows by pages that it maps itself; no allocator is ever called. */
#include <sys/mman.h>
#include "wl.h"

int main(void)
{
	wl_ready_go();
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p == MAP_FAILED)
			_exit(90);
		memset(p, 1, 1 << 20);
		usleep(200000);
	}
}
