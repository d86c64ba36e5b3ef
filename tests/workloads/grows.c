/* SPDX-License-Identifier: GPL-2.0-or-later */
/* grows.c - its brk heap grows by 1 GiB as fast as it can, again and again. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 100000

int main(void)
{
	static char *kept[(1 << 30) / BLOCK];

	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	setvbuf(stdout, NULL, _IONBF, 0);
	puts("ready");
	for (;;) {
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			memset(kept[i] = malloc(BLOCK), 1, BLOCK);
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			free(kept[i]);
		malloc_trim(0);
	}
}
