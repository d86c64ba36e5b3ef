// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workers: a server that forks workers as web servers and databases do. "ready"; for each line it
 * forks one and says "worker PID"; "x" ends it. All of them allocate, give back and verify what
 * they hold all the time; the status is 0 if every byte of every one was right.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "renew.h"
#include "wl.h"

static volatile sig_atomic_t quit;
static unsigned char *held[64];

static void on_term(int sig)
{
	quit = 1;
}

static void churn(void)
{
	for (size_t i = 0; i < 64; i++)
		renew(&held[i], 500 + i * 100, (unsigned char)i);
}

static void work(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!quit) {
		churn();
		usleep(1000);
	}
	_exit(0);
}

int main(void)
{
	char line[64];
	int status, bad = 0;

	signal(SIGTERM, on_term);
	churn();
	wl_say("ready");
	while (fgets(line, sizeof(line), stdin) && *line != 'x') {
		pid_t pid = fork();

		if (!pid)
			work();
		churn();
		printf("worker %d\n", pid);
		fflush(stdout);
	}
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(&status) > 0)
		bad |= status;
	churn();
	return bad != 0;
}
