// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same work every ten milliseconds until a line comes: most blocks are freed soon, some stay,
 * in sizes that have chunks of their own, so that what is freed is handed out again.
 *
 * steady exec|fork|LIBRARY: then it goes on in a new image, in a child, or with the allocator (je_)
 * of a library that it opens, says "changed", and does the work again, within changed(), until
 * another line. "done" is of this part alone.
 */
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include "wl.h"

#define A_STEP 400
#define PLACES 20000 /* of blocks that come and go */
#define KEPT 400000

static void *place[PLACES], *kept[KEPT];
static size_t nkept;
static void *(*get)(size_t) = malloc;
static void (*give)(void *) = free;

WL_NOINLINE static void churns(unsigned int *seed)
{
	for (int i = 0; i < A_STEP; i++) {
		unsigned int at;

		*seed = *seed * 1103515245 + 12345;
		at = (*seed >> 8) % PLACES;
		if (place[at]) {
			give(place[at]);
			wl_free(__func__, 1, 500);
		}
		place[at] = wl_keep(get(wl_size(500)));
		memset(place[at], (int)(*seed >> 16), 500);
	}
	wl_alloc(__func__, A_STEP, 500ULL * A_STEP);
}

WL_NOINLINE static void leaks(void)
{
	for (int i = 0; i < A_STEP / 40 && nkept < KEPT; i++) {
		kept[nkept] = wl_keep(malloc(wl_size(5000)));
		memset(kept[nkept++], 7, 5000);
		wl_alloc(__func__, 1, 5000);
	}
}

static void work(void)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	unsigned int seed = 1;

	while (!poll(&in, 1, 0)) {
		churns(&seed);
		if (get == malloc)
			leaks();
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	wl_wait();
}

WL_NOINLINE static int changed(void)
{
	struct wl_fn sum = {};

	wl_nfns = 0;
	wl_say("changed");
	work();
	for (int i = 0; i < wl_nfns; i++)
		wl_add(&sum, wl_fns[i].alloc_objects, wl_fns[i].alloc_bytes, 0, 0);
	wl_alloc(__func__, sum.alloc_objects, sum.alloc_bytes);
	wl_done();
	wl_wait();
	return 0;
}

static int change(const char *how)
{
	int status;
	pid_t pid;

	wl_ready_go();
	work();
	if (!strcmp(how, "exec")) {
		execl("/proc/self/exe", "steady", "changed", (char *)NULL);
		return 90;
	}
	if (strcmp(how, "fork")) {
		void *library = dlopen(how, RTLD_NOW | RTLD_LOCAL);

		if (!library)
			return 92;
		for (int i = 0; i < PLACES; i++) {
			free(place[i]);
			place[i] = NULL;
		}
		get = (void *(*)(size_t))dlsym(library, "je_malloc");
		give = (void (*)(void *))dlsym(library, "je_free");
		return get && give ? changed() : 93;
	}
	pid = fork();
	if (!pid)
		_exit(changed());
	return waitpid(pid, &status, 0) == pid ? status : 91;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return wl_main(work);
	return strcmp(argv[1], "changed") ? change(argv[1]) : changed();
}
