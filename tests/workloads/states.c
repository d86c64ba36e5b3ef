/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * states.c - processes in states that are seldom met. Says "zombie PID", "headless PID" (its main
 * thread has ended, another goes on) and "vfork PID" (a child that has its parent's memory), in
 * this order; they last as long as it does.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int up[2];

static void *goes_on(void *arg)
{
	if (write(up[1], "u", 1) == 1)
		pause();
	return arg;
}

static void headless(void)
{
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pthread_create(&t, NULL, goes_on, NULL))
		_exit(1);
	pthread_exit(NULL);
}

int main(void)
{
	char *p = malloc(30 << 20), c, text[32];
	pid_t pid;

	if (pipe(up))
		return 1;
	memset(p, 1, 30 << 20);
	pid = fork();
	if (!pid)
		_exit(7);
	printf("zombie %d\n", pid);
	fflush(stdout);
	pid = fork();
	if (!pid)
		headless();
	if (read(up[0], &c, 1) != 1)
		return 1;
	printf("headless %d\n", pid);
	fflush(stdout);
	pid = vfork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(text, sizeof(text), "vfork %d\n", getpid());
		if (write(1, text, strlen(text)) > 0)
			pause();
		_exit(0);
	}
	return 0;
}
