// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Verifies what it holds, all the time: itself, a forked child, its second image, one that it starts
 * by vfork and exec; then says "ready PID", waits for a line, and does all of that again but the
 * image. "done" and status 0: every byte was right, every child ended so.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "wl.h"

#define BLOCKS 64
#define ROUNDS 4000

static void check(const unsigned char *p, size_t n, unsigned char v)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != v)
			_exit(80);
	}
}

WL_NOINLINE static void churn(unsigned int seed)
{
	static unsigned char *p[BLOCKS];
	static size_t n[BLOCKS];
	static unsigned char v[BLOCKS];

	for (int i = 0; i < ROUNDS; i++) {
		unsigned int at = (unsigned int)rand_r(&seed) % BLOCKS;
		size_t size = 1 + (size_t)rand_r(&seed) % 3000;

		check(p[at], p[at] ? n[at] : 0, v[at]);
		if (i % 3) {
			free(p[at]);
			p[at] = malloc(size);
		} else {
			p[at] = realloc(p[at], size);
		}
		if (!p[at])
			_exit(81);
		n[at] = size;
		v[at] = (unsigned char)i;
		memset(p[at], v[at], size);
	}
}

static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		_exit(82);
}

static void children(void)
{
	pid_t pid = fork();

	if (!pid) {
		churn(2);
		_exit(0);
	}
	wait_for(pid);
	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", "phases", "child", (char *)NULL);
		_exit(83);
	}
	wait_for(pid);
}

int main(int argc, char **argv)
{
	char line[32];

	signal(SIGINT, SIG_IGN);
	churn(1);
	if (argc > 1 && !strcmp(argv[1], "child"))
		return 0;
	children();
	if (argc == 1) {
		execl("/proc/self/exe", "phases", "second", (char *)NULL);
		return 84;
	}
	snprintf(line, sizeof(line), "ready %d", getpid());
	wl_say(line);
	wl_wait();
	churn(3);
	children();
	wl_say("done");
	return 0;
}
