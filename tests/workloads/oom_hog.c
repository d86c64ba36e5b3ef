/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oom_hog.c - grows until something stops it. Usage: oom_hog [-t THREADS] [-c] [-s STEP_KB]
 * [-u SLEEP_US] [-b BALLAST_KB] [-m MAX_KB [-w]]
 * Says "ready" (with BALLAST_KB allocated and THREADS threads waiting), waits for a line on stdin,
 * then allocates and touches STEP_KB every SLEEP_US in hoard(). At MAX_KB it says "full" and stays;
 * with -w it touches STEP_KB anew every SLEEP_US until there is another line, and then grows on.
 * -c: a child does the growing; the parent says "child PID", then "child ended SIGNAL", and stays.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *idle(void *arg)
{
	pause();
	return NULL;
}

__attribute__((noinline)) char *hoard(size_t bytes)
{
	char *p = malloc(bytes);

	if (p)
		memset(p, 1, bytes);
	return p;
}

static void grow(size_t step, useconds_t sleep_us, size_t max)
{
	for (size_t have = 0; !max || have < max; have += step) {
		if (!hoard(step))
			break;
		if (sleep_us)
			usleep(sleep_us);
	}
	puts("full");
}

/* Goes on having page faults, and no more memory. */
static void churn(size_t step, useconds_t sleep_us)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	while (!poll(&in, 1, 0)) {
		char *p = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p != MAP_FAILED) {
			memset(p, 1, step);
			munmap(p, step);
		}
		usleep(sleep_us);
	}
}

static void work(size_t step, useconds_t sleep_us, size_t max, int waits)
{
	grow(step, sleep_us, max);
	if (waits) {
		churn(step, sleep_us);
		grow(step, sleep_us, 0);
	}
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	size_t step = 256 << 10, ballast = 0, max = 0;
	useconds_t sleep_us = 1000;
	int threads = 0, child = 0, waits = 0, opt, status;
	char line[64];
	pid_t pid;

	while ((opt = getopt(argc, argv, "t:cs:u:b:m:w")) != -1) {
		switch (opt) {
		case 't': threads = atoi(optarg); break;
		case 'c': child = 1; break;
		case 's': step = strtoul(optarg, NULL, 10) << 10; break;
		case 'u': sleep_us = strtoul(optarg, NULL, 10); break;
		case 'b': ballast = strtoul(optarg, NULL, 10) << 10; break;
		case 'm': max = strtoul(optarg, NULL, 10) << 10; break;
		case 'w': waits = 1; break;
		default: return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < threads; i++) {
		pthread_attr_t a;
		pthread_t t;

		pthread_attr_init(&a);
		pthread_attr_setstacksize(&a, 64 << 10);
		if (pthread_create(&t, &a, idle, NULL))
			return 1;
	}
	if (ballast && !hoard(ballast))
		return 1;
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	if (!child)
		work(step, sleep_us, max, waits);
	pid = fork();
	if (!pid)
		work(step, sleep_us, max, waits);
	printf("child %d\n", pid);
	waitpid(pid, &status, 0);
	printf("child ended %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	for (;;)
		pause();
}
