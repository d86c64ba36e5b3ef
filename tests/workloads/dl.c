// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dl PLAIN.so OWN.so: opens a library that allocates with malloc and one with an allocator of its
 * own (je_malloc), says "loaded", waits for a line, works in both, closes both, says "closed",
 * waits, and opens and works in them once more. What dlopen itself allocates is not known, so only
 * plain_work and own_work count.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include "wl.h"

typedef void work_fn(unsigned long *, unsigned long *);

static const char *paths[2];
static const char *names[2] = {"plain_work", "own_work"};
static void *libs[2];
static work_fn *fns[2];

static void open_both(void)
{
	for (int i = 0; i < 2; i++) {
		libs[i] = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
		if (!libs[i])
			_exit(90 + i);
		fns[i] = (work_fn *)dlsym(libs[i], names[i]);
		if (!fns[i])
			_exit(92);
	}
}

static void work_both(void)
{
	for (int i = 0; i < 2; i++) {
		unsigned long objects = 0, bytes = 0;

		fns[i](&objects, &bytes);
		wl_alloc(names[i], objects, bytes);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	paths[0] = argv[1];
	paths[1] = argv[2];
	wl_ready_go();
	open_both();
	wl_say("loaded");
	wl_wait();
	work_both();
	dlclose(libs[0]);
	dlclose(libs[1]);
	wl_say("closed");
	wl_wait();
	open_both();
	wl_say("loaded");
	wl_wait();
	work_both();
	wl_done();
	wl_wait();
	return 0;
}
