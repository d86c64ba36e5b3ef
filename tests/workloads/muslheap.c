/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * muslheap.c - for musl: says "ready", and at each line on stdin does more of what its allocator
 * has ways for (all slot sizes, mappings of their own, aligned blocks, holes), then "sum BYTES
 * BLOCKS": malloc_usable_size of all that it holds. "untouched N": N bytes that are never written
 * to.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 200000

static char *held[MAX];
static size_t n;

static void keep(char *p, size_t touch)
{
	memset(p, 1, touch);
	held[n++] = p;
}

static void work(void)
{
	for (int i = 0; i < 20000; i++)
		keep(malloc(1 + i % 700), 1 + i % 700);
	for (int i = 0; i < 40; i++)
		keep(malloc(131000 + i * 1000), 131000 + i * 1000);
	for (int i = 0; i < 100; i++) {
		keep(aligned_alloc(4096, 8192), 8192);
		keep(malloc(20000 + i * 1000), 100);
		keep(calloc(3, 1000), 0);
	}
	for (size_t i = 0; i < n; i += 3) {
		free(held[i]);
		held[i] = held[--n];
	}
	for (size_t i = 0; i < n; i += 7) {
		char *p = realloc(held[i], malloc_usable_size(held[i]) * 2);

		held[i] = p;
	}
}

int main(void)
{
	size_t sum, bytes;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "untouched %zu", &bytes) == 1)
			keep(malloc(bytes), 0);
		else
			work();
		sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += malloc_usable_size(held[i]);
		printf("sum %zu %zu\n", sum, n);
	}
	return 0;
}
