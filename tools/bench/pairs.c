// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The benchmark's target. Commands on stdin, one a line, one answer each on stdout:
 *   pairs N SIZE   N times malloc and free of SIZE bytes; the answer is nanoseconds per pair
 *   threads T N    T threads do N pairs of 64 bytes each; the answer is wall nanoseconds
 *   syscalls N     N of the shortest system calls; the answer is nanoseconds per call
 *   live N SIZE    N blocks that stay, from 64 places; the answer is N
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void __attribute__((noinline)) use(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

static void __attribute__((noinline)) pairs(long n, size_t size)
{
	for (long i = 0; i < n; i++) {
		void *p = malloc(size);

		use(p);
		free(p);
	}
}

static void *pairs_thread(void *arg)
{
	pairs(*(long *)arg, 64);
	return NULL;
}

static double threads(long t, long n)
{
	pthread_t th[64];
	double start = now_ns();

	if (t > 64)
		t = 64;
	for (long i = 0; i < t; i++)
		pthread_create(&th[i], NULL, pairs_thread, &n);
	for (long i = 0; i < t; i++)
		pthread_join(th[i], NULL);
	return now_ns() - start;
}

static double syscalls(long n)
{
	double start = now_ns();

	for (long i = 0; i < n; i++)
		syscall(SYS_getppid);
	return (now_ns() - start) / (double)n;
}

/* A place of its own for each depth. */
static void __attribute__((noinline)) deep(int depth, size_t size)
{
	if (!depth)
		use(malloc(size));
	else
		deep(depth - 1, size);
	__asm__ volatile("");
}

int main(void)
{
	char line[128];
	long a, b;

	setvbuf(stdout, NULL, _IONBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "pairs %ld %ld", &a, &b) == 2) {
			double start = now_ns();

			pairs(a, (size_t)b);
			printf("%.1f\n", (now_ns() - start) / (double)a);
		} else if (sscanf(line, "threads %ld %ld", &a, &b) == 2) {
			printf("%.0f\n", threads(a, b));
		} else if (sscanf(line, "syscalls %ld", &a) == 1) {
			printf("%.1f\n", syscalls(a));
		} else if (sscanf(line, "live %ld %ld", &a, &b) == 2) {
			for (long i = 0; i < a; i++)
				deep((int)(i & 63), (size_t)b);
			printf("%ld\n", a);
		} else {
			return 2;
		}
	}
	return 0;
}
