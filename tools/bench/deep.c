// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocates from a chosen depth of stack. Commands on stdin, one answer each on stdout:
 *   DEPTH N SIZE   N times malloc and free of SIZE bytes, DEPTH calls deep; nanoseconds per pair
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile int sink;

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

__attribute__((noinline, noclone)) static int deep(int depth, long n, size_t size)
{
	if (depth) {
		sink += deep(depth - 1, n, size);
		return sink;
	}
	for (long i = 0; i < n; i++) {
		void *p = malloc(size);

		__asm__ volatile("" : "+r"(p) : : "memory");
		free(p);
	}
	return sink;
}

int main(void)
{
	int depth;
	long n;
	size_t size;

	puts("ready");
	fflush(stdout);
	while (scanf("%d %ld %zu", &depth, &n, &size) == 3) {
		double start = now_ns();

		deep(depth, n, size);
		printf("%f\n", (now_ns() - start) / (double)n);
		fflush(stdout);
	}
	return 0;
}
