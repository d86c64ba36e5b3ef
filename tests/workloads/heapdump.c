/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps 500 of 1000 blocks; for allocators' own heap profilers and for memwatch run. */
#include <stdlib.h>
#include <string.h>

static void *keep[1000];

__attribute__((noinline)) static void *store(int n)
{
	void *p = malloc(n);

	memset(p, 1, n);
	return p;
}

__attribute__((noinline)) static void fill(void)
{
	for (int i = 0; i < 1000; i++)
		keep[i] = store(5000 + i * 100);
}

int main(void)
{
	fill();
	for (int i = 0; i < 500; i++)
		free(keep[i]);
	return keep[999] == NULL;
}
