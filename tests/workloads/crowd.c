/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crowd.c N [KIB] - N sleeping children, each of which touches KIB of its own. Says "ready N" with
 * the number that it could make; all of them end with it (end of stdin, or its death).
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void child(pid_t parent, size_t kib)
{
	char *p = kib ? malloc(kib << 10) : NULL;

	if (p)
		memset(p, 1, kib << 10);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0); /* it is gone already */
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int want = argc > 1 ? atoi(argv[1]) : 10, n = 0;
	size_t kib = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	pid_t me = getpid();
	char c;

	signal(SIGCHLD, SIG_IGN);
	setpgid(0, 0);
	for (; n < want; n++) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (!pid)
			child(me, kib);
	}
	printf("ready %d\n", n);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	kill(0, SIGKILL);
	return 0;
}
