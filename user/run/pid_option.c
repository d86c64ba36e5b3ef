/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/pid_option.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/textbuf.h"
#include "core/usage.h"
#include "core/util.h"
#include "sys/chooser.h"
#include "sys/proc_image.h"
#include "sys/selector.h"

#define MAX_SHOWN 20
#define MAX_COMMAND 160

struct candidates {
	pid_t pid[MAX_SHOWN];
	size_t n; /* may be more than are kept */
};

static int add(void *arg, pid_t pid)
{
	struct candidates *c = arg;

	if (c->n < MAX_SHOWN)
		c->pid[c->n] = pid;
	c->n++;
	return 0;
}

/* A name is no expression: its letters mean themselves. */
static int find(const char *name, struct candidates *c)
{
	struct selector *s = NULL;
	struct textbuf re = {0};
	char why[SELECTOR_WHY];
	int err;

	textbuf__str(&re, "^");
	for (; *name; name++)
		textbuf__format(&re, isalnum((unsigned char)*name) ? "%c" : "\\%c", *name);
	textbuf__str(&re, "$");
	err = re.err ? re.err : selector__new(&s);
	if (!err)
		err = selector__add(s, SELECTOR_NAME, re.text, why);
	if (!err)
		err = chooser__each(s, add, c);
	selector__free(s);
	textbuf__free(&re);
	return err;
}

static void put_candidate(const struct argp_state *state, pid_t pid)
{
	cleanup_free char *command = proc_image__command(pid, MAX_COMMAND);

	fprintf(state->err_stream, "  %7d  %s\n", pid, command ? command : "?");
}

/* Attach speaks under the name "memwatch -p", which says whose value is wrong. */
static const char *spelling(const struct argp_state *state)
{
	const char *last = strrchr(state->name, ' ');

	return last && !strcmp(last, " -p") ? "" : "--pid";
}

static int by_name(const struct argp_state *state, const char *name)
{
	struct candidates c = {.n = 0};

	if (!find(name, &c) && c.n == 1)
		return c.pid[0];
	if (!c.n) {
		usage__tell(state, spelling(state), "no process is called '%s'", name);
		exit(EXIT_NO_PROCESS);
	}
	usage__tell(state, spelling(state),
		    "%zu processes are called '%s'; which? (--name '%s' takes them all)", c.n, name,
		    name);
	for (size_t i = 0; i < min_of(c.n, (size_t)MAX_SHOWN); i++)
		put_candidate(state, c.pid[i]);
	if (c.n > MAX_SHOWN)
		fprintf(state->err_stream, "  ... and %zu more\n", c.n - MAX_SHOWN);
	exit(EXIT_USAGE);
}

int pid_option__parse(struct argp_state *state, const char *arg)
{
	if (*arg && strspn(arg, "0123456789+- ") != strlen(arg))
		return by_name(state, arg);
	return (int)usage__count(state, spelling(state), arg, 1, 1 << 30, "process ID");
}
