// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * partner [early|vfork|exec]: a process that runs in this one's memory and is no thread of it
 * allocates there when a line says so; this one waits meanwhile, and frees half of the blocks.
 * early: it is there before "ready". vfork: it is one of vfork's. exec: it calls exec at the end,
 * and its new image allocates on its own account.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "wl.h"

enum { N = 100, SIZE = 9000 };

static void *block[N];
static int start[2], done[2];
static char stack[256 << 10] __attribute__((aligned(16)));
static const char *how = "";

static void tell(int fd)
{
	if (write(fd, "x", 1) != 1)
		_exit(90);
}

static void await(int fd)
{
	char c;

	if (read(fd, &c, 1) != 1)
		_exit(91);
}

WL_NOINLINE static void partner_allocates(void)
{
	for (int i = 0; i < N; i++)
		block[i] = wl_keep(malloc(wl_size(SIZE)));
}

static int partner(void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it goes with this one, however that ends */
	await(start[0]);
	partner_allocates();
	tell(done[1]);
	if (!strcmp(how, "exec"))
		execl("/proc/self/exe", "partner", "alone", (char *)NULL);
	pause();
	_exit(0);
}

static void line(const char *what, long pid)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %ld", what, pid);
	wl_say(text);
}

/* The kernel lets the parent go on when it has ended. */
static pid_t by_vfork(void)
{
	pid_t pid = vfork();

	if (!pid) {
		line("partner", getpid());
		wl_wait();
		partner_allocates();
		_exit(0);
	}
	return pid;
}

static pid_t begin(void)
{
	pid_t pid = clone(partner, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);

	if (pid < 0)
		_exit(92);
	return pid;
}

WL_NOINLINE static void gives_back(void)
{
	for (int i = 0; i < N; i += 2)
		free(block[i]);
}

static int alone(void)
{
	for (int i = 0; i < 1000; i++)
		wl_keep(malloc(wl_size(SIZE)));
	pause();
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid = 0;

	how = argc > 1 ? argv[1] : "";
	if (!strcmp(how, "alone"))
		return alone();
	if (pipe(start) || pipe(done))
		return 1;
	if (!strcmp(how, "early"))
		pid = begin();
	wl_ready_go();
	if (!strcmp(how, "vfork")) {
		pid = by_vfork();
	} else {
		if (!pid)
			pid = begin();
		line("partner", pid);
		wl_wait();
		tell(start[1]);
		await(done[0]);
	}
	gives_back();
	wl_alloc("partner_allocates", N, (uint64_t)N * SIZE);
	wl_free("partner_allocates", N / 2, (uint64_t)N / 2 * SIZE);
	wl_done();
	wl_wait();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
