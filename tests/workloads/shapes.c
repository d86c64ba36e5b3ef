/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shapes.c - one function for each way memory moves over time, all at once: a steady leak, a rare
 * one, a cache that fills, a load at the start, a saw-tooth, growth that is given back. Says
 * "ready", then waits for "go". One tick is TICK_MS; usage: shapes [TICK_MS [TICKS]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK 4096
#define KEEP 16384
#define NOINLINE __attribute__((noinline, noclone))

static void *cache[512], *tooth[KEEP], *batch[KEEP];
static int ntooth, nbatch;
static void *volatile sink;

static void *block(void)
{
	void *p = malloc(BLOCK);

	memset(p, 1, BLOCK);
	return p;
}

NOINLINE void leak_steadily(void)
{
	sink = block();
	sink = block();
}

NOINLINE void leak_rarely(unsigned *seed)
{
	if (rand_r(seed) % 4 == 0)
		sink = block();
}

/* Keys at random: the fuller the cache, the fewer are new. */
NOINLINE void fill_cache(unsigned *seed)
{
	for (int i = 0; i < 20; i++) {
		int key = rand_r(seed) % 512;

		if (!cache[key])
			cache[key] = block();
	}
}

NOINLINE void load_at_start(int tick)
{
	if (tick < 4)
		for (int i = 0; i < 100; i++)
			sink = block();
}

NOINLINE void saw_tooth(int tick)
{
	if (tick % 17 == 16)
		while (ntooth)
			free(tooth[--ntooth]);
	for (int i = 0; i < 10; i++)
		tooth[ntooth++] = block();
}

NOINLINE void grow_then_free(int tick, int ticks)
{
	if (tick < ticks * 6 / 10) {
		for (int i = 0; i < 5; i++)
			batch[nbatch++] = block();
	} else {
		while (nbatch)
			free(batch[--nbatch]);
	}
}

int main(int argc, char **argv)
{
	int tick_ms = argc > 1 ? atoi(argv[1]) : 50, ticks = argc > 2 ? atoi(argv[2]) : 200;
	struct timespec step = {tick_ms / 1000, tick_ms % 1000 * 1000000L};
	unsigned seed = 7;
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int t = 0; t < ticks; t++) {
		leak_steadily();
		leak_rarely(&seed);
		fill_cache(&seed);
		load_at_start(t);
		saw_tooth(t);
		grow_then_free(t, ticks);
		nanosleep(&step, NULL);
	}
	puts("done");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) ? 0 : 1;
}
