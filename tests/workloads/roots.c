// SPDX-License-Identifier: GPL-2.0-or-later
/* Allocates from the main thread, a POSIX thread, a C11 thread and what clone() started. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

#define NOINLINE __attribute__((noinline, noclone))
#define BLOCKS 1000
#define THREAD \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_CLEARTID)

void *blocks[4][BLOCKS];
static volatile int runs = 1; /* until the kernel clears it */
static char stack[1 << 16] __attribute__((aligned(16)));

NOINLINE static void allocate(int who)
{
	for (int i = 0; i < BLOCKS; i++)
		blocks[who][i] = malloc(1001 + who);
	__asm__ volatile("" ::: "memory");
}

NOINLINE static void *in_posix(void *arg)
{
	allocate(1);
	return arg;
}

NOINLINE static int in_c11(void *arg)
{
	allocate(2);
	return arg != NULL;
}

NOINLINE static int in_clone(void *arg)
{
	allocate(3);
	return arg != NULL;
}

int main(void)
{
	pthread_t posix;
	thrd_t c11;
	setbuf(stdout, NULL);
	puts("ready");
	getchar();
	allocate(0);
	pthread_create(&posix, NULL, in_posix, NULL);
	pthread_join(posix, NULL);
	thrd_create(&c11, in_c11, NULL);
	thrd_join(c11, NULL);
	clone(in_clone, stack + sizeof(stack), THREAD, NULL, NULL, NULL, (void *)&runs);
	while (runs)
		sched_yield();
	puts("done");
	getchar();
	return 0;
}
