/* SPDX-License-Identifier: GPL-2.0-or-later */
/* known.c - after a line on stdin: 1000 blocks of 1000 bytes from hold(), every fifth freed; says
 * "done", and ends at the next line. */
#include <stdio.h>
#include <stdlib.h>

static void *block[1000];

__attribute__((noinline)) void *hold(size_t n)
{
	void *volatile p = malloc(n);

	return p;
}

int main(void)
{
	char line[64], out[256];

	setvbuf(stdout, out, _IOLBF, sizeof(out));
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < 1000; i++)
		block[i] = hold(1000);
	for (int i = 0; i < 1000; i += 5)
		free(block[i]);
	puts("done");
	return !fgets(line, sizeof(line), stdin);
}
