/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocates in a named function each time it is told to; a line that says so comes back. */
#include <stdio.h>
#include <stdlib.h>

static void *kept[100000];

__attribute__((noinline)) void *keeps_memory(size_t n)
{
	return malloc(n);
}

int main(void)
{
	char line[64];
	int n = 0;

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < 1000 && n < 100000; i++)
			kept[n++] = keeps_memory(1000);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
