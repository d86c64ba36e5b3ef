/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - picks the subcommand. Without one, the options are those of attach. */
#include "cmd.h"
#include "core/exit.h"
#include "core/textbuf.h"
#include "core/usage.h"

#include <stdio.h>
#include <string.h>

#define ROW(name, help) {#name, "memwatch " #name, cmd_##name, &cmd_##name##_argp, help},

static const struct {
	const char *name, *full; /* full: for --help and messages */
	int (*main)(int argc, char **argv);
	const struct argp *argp;
	const char *help;
} commands[] = {CMD_COMMANDS(ROW)};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fputs("usage: memwatch -p PID [-p PID...] [options]   attach to running programs\n"
	      "       memwatch --unit NAME|--cgroup PATH|--name RE|--container ID [options]\n"
	      "       memwatch COMMAND [options]\n\ncommands:\n",
	      to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
	fputs("\n'memwatch COMMAND --help' explains a command, 'memwatch -p --help' attaching.\n",
	      to);
}

/* Short, where it is clear what was meant. */
static int unknown(char *word)
{
	const char *names[COMMANDS], *near;

	for (size_t i = 0; i < COMMANDS; i++)
		names[i] = commands[i].name;
	near = usage__nearest(word, names, COMMANDS);
	fprintf(stderr, "memwatch: unknown command '%s'", textbuf__printable(word));
	if (near) {
		fprintf(stderr, ": did you mean 'memwatch %s'?\n", near);
		return EXIT_USAGE;
	}
	fputs("\n", stderr);
	usage(stderr);
	return EXIT_USAGE;
}

static void tell_commands(void)
{
	static struct usage_command all[COMMANDS + 1] = {{"memwatch -p", &cmd_attach_argp}};

	for (size_t i = 0; i < COMMANDS; i++)
		all[i + 1] = (struct usage_command){commands[i].full, commands[i].argp};
	usage__commands(all, COMMANDS + 1);
}

int main(int argc, char **argv)
{
	static char help[] = "--help";

	cmd_surroundings();
	tell_commands();
	if (argc == 3 && !strcmp(argv[1], "help")) { /* as of COMMAND --help */
		argv[1] = argv[2];
		argv[2] = help;
	}
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		argv[1] = (char *)commands[i].full;
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
	if (argv[1][0] != '-')
		return unknown(argv[1]);
	return cmd_attach(argc, argv);
}
