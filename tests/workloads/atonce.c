// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * atonce [exec|thread]: allocates one block in its constructor, one as the first thing in main, one
 * as the first thing in a forked child, in a thread of that child's, and in the main and the
 * constructor of one that it starts by vfork and exec; then says "done {json}" of all of these
 * processes. With "exec" or "thread" it first allocates a block and replaces its own image, in the
 * main thread or in another one: that block is gone with the image.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "wl.h"

#define BLOCK(n) ((1 << 20) + (n))

__attribute__((constructor)) WL_NOINLINE static void in_constructor(void)
{
	wl_keep(malloc(wl_size(BLOCK(1))));
}

WL_NOINLINE static void in_main(void)
{
	wl_keep(malloc(wl_size(BLOCK(2))));
}

WL_NOINLINE static void in_child(void)
{
	wl_keep(calloc(1, wl_size(BLOCK(3))));
}

WL_NOINLINE static void *in_thread(void *arg)
{
	return wl_keep(malloc(wl_size(BLOCK(4))));
}

WL_NOINLINE static void in_spawned(void)
{
	wl_keep(malloc(wl_size(BLOCK(5))));
}

WL_NOINLINE static void in_first_image(void)
{
	wl_keep(malloc(wl_size(BLOCK(6))));
}

static void *exec_again(void *arg)
{
	execl("/proc/self/exe", "atonce", "again", (char *)NULL);
	_exit(91);
}

static void forked(void)
{
	pthread_t th;

	in_child();
	if (pthread_create(&th, NULL, in_thread, NULL) || pthread_join(th, NULL))
		_exit(92);
	_exit(0);
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		_exit(93);
}

int main(int argc, char **argv)
{
	pthread_t th;
	pid_t pid;

	if (argc > 1 && !strcmp(argv[1], "spawned")) {
		in_spawned();
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "again")) {
		in_first_image();
		if (!strcmp(argv[1], "exec"))
			exec_again(NULL);
		pthread_create(&th, NULL, exec_again, NULL);
		pthread_join(th, NULL);
	}
	in_main();
	free(wl_keep(NULL)); /* linked in, where that is by need */
	pid = fork();
	if (!pid)
		forked();
	wait_for(pid);
	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", "atonce", "spawned", (char *)NULL);
		_exit(94);
	}
	wait_for(pid);
	if (argc > 1) {
		wl_alloc("in_constructor", 1, BLOCK(1));
		wl_free("in_constructor", 1, BLOCK(1));
		wl_alloc("in_first_image", 1, BLOCK(6));
		wl_free("in_first_image", 1, BLOCK(6));
	}
	wl_alloc("in_constructor", 3, 3 * BLOCK(1)); /* one is the forked child's copy */
	wl_alloc("in_main", 2, 2 * BLOCK(2));
	wl_alloc("in_child", 1, BLOCK(3));
	wl_alloc("in_thread", 1, BLOCK(4));
	wl_alloc("in_spawned", 1, BLOCK(5));
	wl_done();
	return 0;
}
