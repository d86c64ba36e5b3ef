// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * manystacks DEPTH: allocates on each of 2^DEPTH distinct stacks, says "ready" before the
 * first and "all" after the last of them, then goes on over the same ones, freeing what was there,
 * until a line comes; "done N", N being all allocations.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static void **block;

NOINLINE static void left(unsigned path, unsigned depth, unsigned i);
NOINLINE static void right(unsigned path, unsigned depth, unsigned i);

static inline __attribute__((always_inline)) void step(unsigned path, unsigned depth, unsigned i)
{
	if (!depth) {
		free(block[i]);
		block[i] = malloc(16 + i % 64);
	} else if (path & 1) {
		right(path >> 1, depth - 1, i);
	} else {
		left(path >> 1, depth - 1, i);
	}
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

/* Two of the same, so that each path is a stack of its own. */
NOINLINE static void left(unsigned path, unsigned depth, unsigned i)
{
	step(path, depth, i);
}

NOINLINE static void right(unsigned path, unsigned depth, unsigned i)
{
	step(path, depth, i);
}

int main(int argc, char **argv)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	unsigned depth = atoi(argv[1]), n = 1u << depth;
	unsigned long count = 0;
	char line[16];

	block = calloc(n, sizeof(*block));
	setbuf(stdout, NULL);
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	do {
		for (unsigned i = 0; i < n; i++, count++) {
			right(i, depth, i);
			if (count >= n && !(count % 1024) && poll(&in, 1, 0) > 0)
				goto out;
		}
		if (count == n)
			puts("all");
	} while (1);
out:
	printf("done %lu\n", count);
	while (fgets(line, sizeof(line), stdin))
		;
	return 0;
}
