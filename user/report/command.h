/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command.h - pprof's commands: what the shell's lines say, and doing it. */
#ifndef REPORT_COMMAND_H
#define REPORT_COMMAND_H

#include "report/settings.h"

enum command_sink {
	COMMAND_TEXT, /* to the terminal */
	COMMAND_FILE, /* where no file is named, into one called profileNNN.ENDING */
	COMMAND_VIEW, /* shown by another program */
};

struct command {
	const char *name;
	enum report_kind kind;
	enum command_sink sink;
	const char *format; /* what graphviz makes of a graph; NULL: nothing */
	const char *ending; /* of a file */
	bool has_param;
	const char *help;
};

/* All of them; ends with name NULL. */
extern const struct command command__all[];
const struct command *command__find(const char *name);

/* A line, taken apart. */
struct command_line {
	const struct command *command;
	char *param;		  /* owned; NULL: the command has none */
	struct settings settings; /* those of the shell, changed by the line */
	char *pipe;		  /* owned; a command of the shell that gets the text; NULL */
};

/*
 * pprof's grammar: NAME[N] [PARAM] [N] [FOCUS-RE]* [-IGNORE-RE]* [-cum] [>FILE], and further
 * [| COMMAND]. 0; -EINVAL with the reason in why; -ENOMEM.
 */
int command__parse(const char *line, const struct settings *s, struct command_line *ret, char *why,
		   size_t why_len);
void command__fini(struct command_line *l); /* accepts one of zeros */

/* NAME, NAME=VALUE or NAME=VALUE //: comment, where NAME is a setting: taken apart in place; value
 * NULL: none. False: the line is no assignment (and is changed). */
bool command__assignment(char *line, char **ret_name, char **ret_value);
/* Without spaces at both ends, in place. */
char *command__trim(char *s);

/* Does it, in the half of the shell that has the profile (shell.h). p is left as it is. What goes
 * wrong is logged. */
int command__run(const struct command_line *l, const struct profile *p);

#endif
