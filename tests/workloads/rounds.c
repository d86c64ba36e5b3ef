/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rounds.c - at each line on stdin one step, then "done": "a": 1000 blocks of 1000 bytes from
 * hold(); "f": the 500 oldest are freed; "m": a mapping of 4 MB. Says "ready" first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *block[100000];
static int first, last;

__attribute__((noinline)) void *hold(size_t n)
{
	void *volatile p = malloc(n);

	return p;
}

int main(void)
{
	static char in[64], out[256];

	setvbuf(stdin, in, _IOLBF, sizeof(in));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	puts("ready");
	for (int c = getchar(); c != EOF; c = getchar()) {
		for (int i = 0; c == 'a' && i < 1000; i++)
			block[last++] = hold(1000);
		for (int i = 0; c == 'f' && i < 500; i++)
			free(block[first++]);
		if (c == 'm')
			memset(mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			       1, 4 << 20);
		if (c == '\n')
			puts("done");
	}
	return 0;
}
