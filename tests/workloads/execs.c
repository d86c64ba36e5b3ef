// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * execs [thread|vfork]: allocates, then replaces its own image by itself ("ready" again, "go"
 * again), and allocates something else; with "thread" from a thread that is not the main one. With
 * "vfork" it starts a child through vfork + exec instead, waits for it and goes on: nothing of the
 * child may show in the parent's numbers. With "chain N" it only allocates a little and replaces
 * itself N times, one after the other, without asking anybody.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "wl.h"

WL_NOINLINE static void first_image(void)
{
	for (int i = 0; i < 30; i++)
		wl_keep(malloc(wl_size(5003)));
	wl_alloc(__func__, 30, 5003 * 30);
}

WL_NOINLINE static void second_image(void)
{
	for (int i = 0; i < 20; i++)
		wl_keep(malloc(wl_size(707)));
	wl_alloc(__func__, 20, 707 * 20);
}

WL_NOINLINE static void after_vfork(void)
{
	for (int i = 0; i < 5; i++)
		wl_keep(malloc(wl_size(4001)));
	wl_alloc(__func__, 5, 4001 * 5);
}

WL_NOINLINE static void vfork_exec(void)
{
	for (int i = 0; i < 5; i++) {
		pid_t pid = vfork();

		if (pid < 0)
			_exit(90);
		if (!pid) {
			execl("/proc/self/exe", "execs", "child", (char *)NULL);
			_exit(91);
		}
		waitpid(pid, NULL, 0);
	}
}

WL_NOINLINE static void vforked_child(void)
{
	for (int i = 0; i < 100; i++)
		wl_keep(malloc(wl_size(6007)));
}

static void *exec_second(void *arg)
{
	execl("/proc/self/exe", "execs", "second", (char *)NULL);
	_exit(92);
}

int main(int argc, char **argv)
{
	pthread_t th;

	if (argc > 1 && !strcmp(argv[1], "child")) {
		vforked_child();
		return 0;
	}
	if (argc > 2 && !strcmp(argv[1], "chain")) {
		char left[16];
		long n = strtol(argv[2], NULL, 10);
		int at = sizeof(left) - 1;

		second_image();
		if (!n)
			return 0;
		left[at] = 0;
		for (n--; n > 9; n /= 10)
			left[--at] = (char)('0' + n % 10);
		left[--at] = (char)('0' + n);
		execl("/proc/self/exe", "execs", "chain", left + at, (char *)NULL);
		return 93;
	}
	wl_ready_go();
	if (argc > 1 && !strcmp(argv[1], "second")) {
		second_image();
	} else if (argc > 1 && !strcmp(argv[1], "vfork")) {
		first_image();
		vfork_exec();
		after_vfork();
	} else if (argc > 1 && !strcmp(argv[1], "thread")) {
		first_image();
		pthread_create(&th, NULL, exec_second, NULL);
		pthread_join(th, NULL);
	} else {
		first_image();
		exec_second(NULL);
	}
	wl_done();
	wl_wait();
	return 0;
}
