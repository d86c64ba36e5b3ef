// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Starts children by posix_spawn, which runs them in the parent's memory until they exec, and
 * allocates before, between and after.
 */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "wl.h"

#define CHILDREN 20
#define BLOCKS 2000
static void *blocks[CHILDREN * BLOCKS];
extern char **environ;

WL_NOINLINE static void between(int round)
{
	for (int i = 0; i < BLOCKS; i++)
		blocks[round * BLOCKS + i] = wl_keep(malloc(wl_size(300)));
	wl_alloc(__func__, BLOCKS, BLOCKS * 300);
	for (int i = 0; i < BLOCKS; i += 2)
		free(blocks[round * BLOCKS + i]);
	wl_free(__func__, BLOCKS / 2, BLOCKS / 2 * 300);
}

static void work(void)
{
	char *argv[] = {(char *)"true", NULL};

	for (int i = 0; i < CHILDREN; i++) {
		int status;
		pid_t pid;

		if (posix_spawnp(&pid, "true", NULL, NULL, argv, environ))
			_exit(90);
		between(i);
		if (waitpid(pid, &status, 0) != pid || status)
			_exit(91);
	}
}

int main(void)
{
	return wl_main(work);
}
