/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shell.c - see shell.h. */
#include "report/shell.h"

#include "core/emit.h"
#include "core/log.h"
#include "core/util.h"
#include "report/command.h"
#include "report/open.h"
#include "report/shell_front.h"
#include "sys/apart.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

struct shell {
	const struct profile *p;
	struct settings *settings;
	bool failed; /* a line could not be done */
};

/* --- help --- */

static void help_line(const char *name, const char *text)
{
	printf("    %-22s %s\n", name, text);
}

static void help_all(void)
{
	puts("  Commands:");
	for (const struct command *c = command__all; c->name; c++)
		help_line(c->name, c->help);
	help_line("o/options", "The options and their values");
	help_line("q/quit/exit/^D", "Leave");
	puts("\n  Options (NAME=VALUE sets one):");
	for (const struct setting *v = settings__all; v->name; v++)
		help_line(v->name, v->help);
	puts("\n  A sample type's name chooses it, mean_NAME the average of a block.\n"
	     "  :   clears focus, ignore, hide, tagfocus and tagignore\n\n"
	     "  COMMAND [N] [RE] [-RE] [-cum] [>FILE] [| PROGRAM]: N functions at most, of stacks\n"
	     "  that match RE and not -RE. \"help COMMAND\" or \"help OPTION\" says more.");
}

static void help_command(const struct command *c)
{
	bool tags = c->kind == REPORT_TAGS;

	printf("%s\n  Usage:\n    %s%s%s [>FILE] [| PROGRAM]\n", c->help, c->name,
	       c->has_param ? " RE"
	       : tags	    ? ""
			    : " [N]",
	       tags ? " [TAG-RE]* [-IGNORE-RE]*" : " [FOCUS-RE]* [-IGNORE-RE]* [-cum]");
	if (c->has_param)
		puts("    RE: functions that are shown");
	else if (!tags)
		puts("    N: so many functions at most");
	puts(tags ? "    TAG-RE, IGNORE-RE: samples with and without a label that matches"
		  : "    FOCUS-RE, IGNORE-RE: stacks with and without a match");
}

static bool help(const char *name)
{
	const struct command *c;
	const struct setting *v;

	if (!*name) {
		help_all();
		return true;
	}
	c = command__find(name);
	v = settings__find(name);
	if (c)
		help_command(c);
	else if (v && v->choices)
		printf("%s (%s)\n", v->help, v->choices);
	else if (v)
		puts(v->help);
	else
		log_error("unknown command: \"%s\"", name);
	return c || v;
}

/* --- options --- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct setting *const *)a)->name,
		      (*(const struct setting *const *)b)->name);
}

static void types_comment(const struct profile *p, FILE *f)
{
	fputs("//: [", f);
	for (size_t i = 0; i < p->nvalues; i++) {
		fputs(i ? " | " : "", f);
		emit__plain(f, profile__text(p, p->sample_type[i].type));
	}
	putc(']', f);
}

static void print_option(const struct shell *sh, const struct setting *v)
{
	const struct profile *p = sh->p;
	char buf[64];
	const char *value = settings__value(sh->settings, v, buf, sizeof(buf));
	bool types = !strcmp(v->name, "sample_index");

	if (types && !*value) {
		int type = open__find_type(p, NULL);

		value = type < 0 ? "" : profile__text(p, p->sample_type[type].type);
	}
	printf("  %-25s = %-20s ", v->name, *value || types || v->choices ? value : "\"\"");
	if (v->choices)
		printf("//: [%s]", v->choices);
	else if (types)
		types_comment(p, stdout);
	else if (!strcmp(v->name, "nodecount") && !strcmp(value, "-1"))
		fputs("//: default", stdout);
	putchar('\n');
}

static void print_options(const struct shell *sh)
{
	const struct setting *list[64];
	size_t n = 0;

	for (const struct setting *v = settings__all; v->name && n < ARRAY_SIZE(list); v++) {
		if (strcmp(v->name, "source_path"))
			list[n++] = v;
	}
	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++)
		print_option(sh, list[i]);
}

/* --- assignments --- */

static bool assign(struct shell *sh, const char *name, const char *value)
{
	char why[256] = "out of memory";
	int type, err;

	if (!strcmp(name, "sample_index")) {
		type = open__find_type(sh->p, value);
		if (type < 0) {
			open__no_such_type(sh->p, "sample_index", value);
			return false;
		}
		value = profile__text(sh->p, sh->p->sample_type[type].type);
	}
	err = settings__set(sh->settings, name, value, why, sizeof(why));
	if (err)
		log_error("%s", why);
	return !err;
}

/* False: the line is no assignment. */
static bool is_assignment(struct shell *sh, const char *line)
{
	cleanup_free char *copy = strdup(line);
	char *name, *value;

	if (!copy || !command__assignment(copy, &name, &value))
		return false;
	if (!value && !settings__is_switch(name)) {
		log_error("please specify a value, e.g. %s=<val>", name);
		sh->failed = true;
	} else if (!assign(sh, name, value ? value : "")) {
		sh->failed = true;
	}
	return true;
}

/* "inuse_space", "total_inuse_space", "mean_inuse_space" and ":". */
static bool is_shortcut(struct shell *sh, const char *line)
{
	static const char *const cleared[] = {"focus", "ignore", "hide", "tagfocus", "tagignore"};
	const struct profile *p = sh->p;

	for (size_t i = 0; i < ARRAY_SIZE(cleared) && !strcmp(line, ":"); i++)
		assign(sh, cleared[i], "");
	if (!strcmp(line, ":"))
		return true;
	for (size_t i = 0; i < p->nvalues; i++) {
		const char *type = profile__text(p, p->sample_type[i].type);
		bool total = !strncmp(line, "total_", 6) && !strcmp(line + 6, type);
		bool mean = !strncmp(line, "mean_", 5) && !strcmp(line + 5, type);

		if (strcmp(line, type) && !total && !mean)
			continue;
		if (total || mean)
			assign(sh, "mean", mean ? "1" : "0");
		assign(sh, "sample_index", type);
		return true;
	}
	return false;
}

static void run_command(struct shell *sh, const char *line)
{
	struct command_line l;
	char why[256] = "out of memory";

	if (command__parse(line, sh->settings, &l, why, sizeof(why))) {
		log_error("%s", why);
		sh->failed = true;
		return;
	}
	if (command__run(&l, sh->p))
		sh->failed = true;
	command__fini(&l);
}

/* False: it is the last. */
static bool do_line(struct shell *sh, char *text)
{
	char *line = command__trim(text);

	if (!*line || is_shortcut(sh, line) || is_assignment(sh, line))
		return true;
	if (!strcmp(line, "o") || !strcmp(line, "options"))
		print_options(sh);
	else if (!strcmp(line, "exit") || !strcmp(line, "quit") || !strcmp(line, "q"))
		return false;
	else if (!strncmp(line, "help", 4) && (!line[4] || line[4] == ' '))
		sh->failed |= !help(command__trim(line + 4));
	else
		run_command(sh, line);
	fflush(stdout);
	return true;
}

/* --- the loop --- */

static void greet(const struct shell *sh)
{
	struct report r = {.p = (struct profile *)sh->p, .out_unit = sh->settings->unit};
	int type = open__find_type(sh->p,
				   *sh->settings->sample_index ? sh->settings->sample_index : NULL);

	if (type >= 0) {
		r.o.type = type;
		for (size_t i = 0; i < sh->p->nsamples; i++) {
			int64_t v = sh->p->samples[i].value[type];

			util__add(&r.total, v < 0 ? (int64_t) - (uint64_t)v : v);
		}
		report__header(&r, stdout);
		if (!r.total && sh->p->nvalues > 1)
			puts("Nothing is in the default sample type: \"sample_index=NAME\" chooses "
			     "another.");
	}
	report__books(sh->p, stdout);
	puts("Commands are those of pprof: \"help\" lists them, \"o\" the options, \"quit\" "
	     "leaves.");
	fflush(stdout);
}

/* --- the other half --- */

/* Ctrl-C is its business while it is asked; else it ends a command that takes too long, and so both
 * halves. */
static int ask(const char *word, int fd, int *ret_fd)
{
	int err;

	signal(SIGINT, SIG_IGN);
	err = apart__ask(word, fd, ret_fd);
	signal(SIGINT, SIG_DFL);
	return err;
}

int shell__give(const char *word, int (*fn)(FILE *f, void *arg), void *arg)
{
	int fd = memfd_create("memwatch-report", MFD_CLOEXEC), none = -1, err;
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f) {
		util__close_fd(&fd);
		return -errno;
	}
	err = emit__end(f, fn(f, arg));
	err = err ? err : ask(word, fd, &none);
	util__close_fd(&none);
	return err;
}

static int write_names(FILE *f, void *arg)
{
	const struct profile *p = arg;

	for (size_t i = 0; i < p->nvalues; i++)
		fprintf(f, "T%s\n", profile__text(p, p->sample_type[i].type));
	for (size_t i = 0; i < p->nfunctions; i++) {
		const char *name = profile__text(p, p->functions[i].name);

		if (!strpbrk(name, " \n"))
			fprintf(f, "F%s\n", name);
	}
	return 0;
}

/* malloc'ed; NULL: there is none, or it cannot be had. */
static char *next_line(struct shell *sh)
{
	cleanup_fd int fd = -1;
	char *line = NULL;
	int err = ask(SHELL_LINE, -1, &fd);

	if (!err && fd >= 0)
		err = min_of(util__read_fd(fd, SHELL_MAX_LINE, &line), (ssize_t)0);
	sh->failed |= err && err != -ENODATA;
	return line;
}

int shell__run(const struct profile *p, struct settings *settings, bool people)
{
	struct shell sh = {.p = p, .settings = settings};
	char *line;

	settings->compact_labels = true; /* the greeting has said it */
	if (people) {
		greet(&sh);
		shell__give(SHELL_NAMES, write_names, (void *)p);
	}
	while ((line = next_line(&sh))) {
		bool more = do_line(&sh, line);

		free(line);
		if (!more)
			break;
	}
	return sh.failed && !people ? -EINVAL : 0;
}
