/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - picks the subcommand. Without one, the options are those of attach. */
#include "cmd.h"
#include "core/exit.h"
#include "core/textbuf.h"
#include "core/usage.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "start a command held until the probes are in, and profile it"},
	{"go", cmd_go, "what only Go programs tell: MemStats, GC trace, goroutines"},
	{"top", cmd_top, "every process: VIRT, RSS by kind, growth, peaks"},
	{"oom", cmd_oom, "OOM kills: follow, or list what was recorded"},
	{"daemon", cmd_daemon, "everything, continuously: rules, alerts, OOM kills"},
	{"history", cmd_history, "what the daemon recorded: who grew, kills, alerts, profiles"},
	{"report", cmd_report, "print, compare and convert profile files: top, tree, list, diffs"},
	{"detach", cmd_detach, "take out of a process what a killed --fast run left there"},
	{"features", cmd_features, "what this kernel and machine offer, and what falls back"},
};

static void usage(FILE *to)
{
	fputs("usage: memwatch -p PID [-p PID...] [options]   attach to running programs\n"
	      "       memwatch --unit NAME|--cgroup PATH|--name RE|--container ID [options]\n"
	      "       memwatch COMMAND [options]\n\ncommands:\n",
	      to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
	fputs("\n'memwatch COMMAND --help' explains a command, 'memwatch -p --help' attaching.\n",
	      to);
}

/* Short, where it is clear what was meant. */
static int unknown(char *word)
{
	const char *names[sizeof(commands) / sizeof(commands[0])], *near;
	size_t n = sizeof(names) / sizeof(names[0]);

	for (size_t i = 0; i < n; i++)
		names[i] = commands[i].name;
	near = usage__nearest(word, names, n);
	fprintf(stderr, "memwatch: unknown command '%s'", textbuf__printable(word));
	if (near) {
		fprintf(stderr, ": did you mean 'memwatch %s'?\n", near);
		return EXIT_USAGE;
	}
	fputs("\n", stderr);
	usage(stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static char help[] = "--help";

	cmd_surroundings();
	if (argc == 3 && !strcmp(argv[1], "help")) { /* as of COMMAND --help */
		argv[1] = argv[2];
		argv[2] = help;
	}
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		static char name[32]; /* for --help and messages */

		if (strcmp(argv[1], commands[i].name))
			continue;
		snprintf(name, sizeof(name), "memwatch %s", commands[i].name);
		argv[1] = name;
		return commands[i].main(argc - 1, argv + 1);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("memwatch " MEMWATCH_VERSION);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "help") || (argc == 2 && !strcmp(argv[1], "-h")) ||
	    (argc == 2 && !strcmp(argv[1], "--help"))) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (argc == 3 && !strcmp(argv[1], "-p") &&
	    (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
		argv[1] = argv[2];
		return cmd_attach(2, argv);
	}
	if (argv[1][0] != '-') {
		return unknown(argv[1]);
	}
	return cmd_attach(argc, argv);
}
