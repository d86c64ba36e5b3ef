// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocates, forks a child that frees a part of what it inherited and allocates on its own, and
 * goes on allocating. The child says "forked" and waits for a line, so that a tracer can follow
 * it, then works and says "child {json}" (what it inherited and still has, what it did), and stays
 * until the pipe closes. The parent's "done" holds the parent's own alone.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include "wl.h"

#define N 40
static void *p[N];
static int hold[2], ack[2];

WL_NOINLINE static void before_fork(void)
{
	for (int i = 0; i < N; i++)
		p[i] = wl_keep(malloc(wl_size(1001)));
	wl_alloc(__func__, N, 1001 * N);
}

WL_NOINLINE static void in_child(void)
{
	for (int i = 0; i < 7; i++)
		wl_keep(malloc(wl_size(2003)));
	wl_alloc(__func__, 7, 2003 * 7);
}

WL_NOINLINE static void in_parent(void)
{
	for (int i = 0; i < 11; i++)
		wl_keep(malloc(wl_size(3001)));
	wl_alloc(__func__, 11, 3001 * 11);
}

static void child(void)
{
	char c;

	close(hold[1]);
	wl_say("forked");
	wl_wait();
	for (int i = 0; i < 10; i++) {
		free(p[i]);
		wl_free("before_fork", 1, 1001);
	}
	in_child();
	wl_put("child {");
	wl_put_num("pid", (uint64_t)getpid(), ",");
	wl_put_num("inherited_objects", N - 10, ",");
	wl_put_num("inherited_bytes", (N - 10) * 1001, ",");
	wl_put_num("own_objects", 7, ",");
	wl_put_num("own_bytes", 7 * 2003, "}\n");
	wl_flush();
	close(ack[1]);
	while (read(hold[0], &c, 1) > 0)
		;
	_exit(0);
}

static void work(void)
{
	pid_t pid;
	char c;

	before_fork();
	pid = fork();
	if (pid < 0)
		_exit(90);
	if (!pid)
		child();
	close(ack[1]);
	while (read(ack[0], &c, 1) > 0)
		; /* the child has done its work */
	in_parent();
}

int main(void)
{
	if (pipe(hold) || pipe(ack))
		return 91;
	wl_ready_go();
	work();
	wl_done();
	wl_wait();
	close(hold[1]);
	wait(NULL);
	return 0;
}
