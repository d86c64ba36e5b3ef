// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * leaderless before|after|later PLAIN.so OWN.so: the main thread leaves by pthread_exit, before
 * "ready" or after the first line, and another goes on (later: with a further line): opens both
 * libraries, says "loaded", waits for a line, works in them and in the program.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "wl.h"

static pthread_t main_thread;
static int before, later;
static char **paths;

WL_NOINLINE static void own_code(void)
{
	for (int i = 0; i < 40; i++)
		wl_keep(malloc(wl_size(2222)));
	wl_alloc("own_code", 40, 40 * 2222);
}

static void work_in(const char *path, const char *name)
{
	unsigned long objects = 0, bytes = 0;
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void (*fn)(unsigned long *, unsigned long *);

	if (!lib)
		_exit(90);
	fn = (void (*)(unsigned long *, unsigned long *))dlsym(lib, name);
	if (!fn)
		_exit(91);
	if (!strcmp(name, "own_work")) {
		wl_say("loaded");
		wl_wait();
	}
	fn(&objects, &bytes);
	wl_alloc(name, objects, bytes);
}

static void *go_on(void *arg)
{
	pthread_join(main_thread, NULL);
	if (before)
		wl_ready_go();
	if (later) {
		wl_say("alone");
		wl_wait();
	}
	own_code();
	work_in(paths[0], "plain_work");
	work_in(paths[1], "own_work");
	wl_done();
	wl_wait();
	_exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc != 4)
		return 2;
	before = !strcmp(argv[1], "before");
	later = !strcmp(argv[1], "later");
	paths = argv + 2;
	main_thread = pthread_self();
	if (pthread_create(&t, NULL, go_on, NULL))
		return 3;
	if (!before)
		wl_ready_go();
	pthread_exit(NULL);
}
