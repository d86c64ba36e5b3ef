/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stacks.c - as many different call stacks as asked for, each with one live block: 17 levels of
 * two functions each, chosen by the bits of a number. usage: stacks N. Waits for SIGUSR1, makes the
 * stacks, names itself "done" and waits.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *volatile sink;
static volatile int depth_guard;

static void walk(unsigned bits, int level);

__attribute__((noinline, noclone)) static void zero(unsigned bits, int level)
{
	walk(bits, level);
	depth_guard++;
}

__attribute__((noinline, noclone)) static void one(unsigned bits, int level)
{
	walk(bits, level);
	depth_guard--;
}

__attribute__((noinline, noclone)) static void walk(unsigned bits, int level)
{
	if (!level)
		sink = malloc(64);
	else if (bits & 1)
		one(bits >> 1, level - 1);
	else
		zero(bits >> 1, level - 1);
	depth_guard ^= 1;
}

static void go(int sig)
{
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	sigset_t set, old;

	signal(SIGUSR1, go);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	sigsuspend(&old);
	for (unsigned i = 0; i < n; i++)
		walk(i, 17);
	prctl(PR_SET_NAME, "done");
	for (;;)
		pause();
}
