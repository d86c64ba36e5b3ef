/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bursts.c - says "ready"; at each line, a number N, it makes and frees N blocks of 64 bytes, keeps
 * one more, and says "done N". */
#include <stdio.h>
#include <stdlib.h>

#include "wl.h"

WL_NOINLINE static void burst(long n)
{
	for (long i = 0; i < n; i++)
		free(wl_keep(malloc(wl_size(64))));
	wl_keep(malloc(wl_size(64)));
}

int main(void)
{
	static char in[64], out[1024];
	long n;

	setvbuf(stdin, in, _IOFBF, sizeof(in));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	puts("ready");
	while (scanf("%ld", &n) == 1) {
		burst(n);
		printf("done %ld\n", n);
	}
	return 0;
}
