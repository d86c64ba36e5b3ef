/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * killed_run N ARGS…: `memwatch run ARGS…`, or `memwatch -p …`, that kills itself at the N-th step
 * of what --fast does to its target; with 0 at none, and it tells each step on stderr. For
 * tests/e2e/test_fast_kills.py.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "fast/remote.h"

static int at, steps;

static void on_step(const char *what)
{
	if (!at)
		fprintf(stderr, "step: %s\n", what);
	else if (++steps == at)
		raise(SIGKILL);
}

int main(int argc, char **argv)
{
	static char name[] = "memwatch run";

	if (argc < 3)
		return 2;
	at = atoi(argv[1]);
	remote__on_step = on_step;
	cmd_surroundings();
	argv[1] = name;
	return strcmp(argv[2], "-p") ? cmd_run(argc - 1, argv + 1) : cmd_attach(argc - 1, argv + 1);
}
