/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/shell_front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "report/command.h"
#include "report/picture.h"
#include "report/prompt.h"
#include "report/viewer.h"
#include "sys/apart.h"
#include "sys/outfile.h"

struct list {
	const char **text; /* in shell_front.names */
	size_t n, cap;
};

struct shell_front {
	struct settings settings; /* `output` alone follows what is typed */
	char *names;
	struct list functions, types;
	struct command_line line; /* the last one */
	bool asked;		  /* its report has not come yet */
	bool begun;
};

static struct shell_front *completing; /* libedit's callback has no argument */

/* --- completion --- */

static bool begins(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

static void complete_functions(const char *word, void (*add)(const char *text))
{
	const struct list *l = &completing->functions;
	cleanup_free char *with_dash = NULL;
	size_t found = 0;
	bool minus = *word == '-';

	word += minus;
	for (size_t i = 0; i < l->n && *word; i++) {
		/* pprof completes names that contain the word, if there is only one. */
		if (!strstr(l->text[i], word) && found)
			continue;
		if (begins(l->text[i], word)) {
			if (asprintf(&with_dash, "%s%s", minus ? "-" : "", l->text[i]) < 0) {
				with_dash = NULL;
				return;
			}
			add(with_dash);
			free(take_ptr(with_dash));
			found++;
		}
	}
}

static void complete_names(const char *word, bool values, void (*add)(const char *text))
{
	static const char *const more[] = {"help", "options", "quit", "exit"};

	for (const struct command *c = command__all; c->name; c++) {
		if (begins(c->name, word))
			add(c->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		if (begins(more[i], word))
			add(more[i]);
	}
	for (const struct setting *v = settings__all; v->name; v++) {
		char text[64];

		snprintf(text, sizeof(text), "%s%s", v->name, values ? "=" : "");
		if (begins(v->name, word))
			add(text);
	}
}

static void complete_value(const char *name, const char *word, void (*add)(const char *text))
{
	const struct list *types = &completing->types;
	const struct setting *v = settings__find(name);
	cleanup_free char *choices = v && v->choices ? strdup(v->choices) : NULL;
	char *save = NULL;
	bool type = !strcmp(name, "sample_index");

	for (size_t i = 0; type && i < types->n; i++) {
		if (begins(types->text[i], word))
			add(types->text[i]);
	}
	for (char *c = choices ? strtok_r(choices, " |", &save) : NULL; c;
	     c = strtok_r(NULL, " |", &save)) {
		if (begins(c, word))
			add(c);
	}
	if (v && !v->choices && !type)
		complete_functions(word, add);
}

static void complete(const char *before, const char *word, void (*add)(const char *text))
{
	cleanup_free char *copy = strdup(before);
	char *start = copy ? command__trim(copy) : NULL;
	size_t n = start ? strlen(start) : 0;

	if (!n) {
		complete_names(word, true, add);
	} else if (start[n - 1] == '=') {
		start[n - 1] = 0;
		complete_value(command__trim(start), word, add);
	} else if (!strcmp(start, "help")) {
		complete_names(word, false, add);
	} else {
		complete_functions(word, add);
	}
}

/* A name that is completed becomes part of a line: it must be a word of it and nothing else. */
static bool is_word(const char *name)
{
	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		if (*c <= ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
			return false;
	}
	return *name && *name != '|' && *name != '>' && *name != '-';
}

/* --- what the other half brings and gets --- */

static int read_names(struct shell_front *s, int fd)
{
	char *save = NULL;
	struct stat st;
	ssize_t n;

	if (s->names || fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return -EPERM;
	n = util__read_fd(fd, SHELL_MAX_NAMES, &s->names);
	if (n < 0)
		return (int)n;
	for (char *name = strtok_r(s->names, "\n", &save); name;
	     name = strtok_r(NULL, "\n", &save)) {
		struct list *l = *name == 'T' ? &s->types : &s->functions;

		if (!is_word(name + 1))
			continue;
		if (array_reserve(l->text, l->cap, l->n + 1))
			return -ENOMEM;
		l->text[l->n++] = name + 1;
	}
	return 0;
}

/* What the line lets the other half ask for. */
static void note(struct shell_front *s, const char *text)
{
	cleanup_free char *copy = strdup(text);
	char *line = copy ? command__trim(copy) : NULL, *name, *value, why[256];

	command__fini(&s->line);
	s->asked = false;
	if (!line)
		return;
	if (command__parse(line, &s->settings, &s->line, why, sizeof(why)))
		s->line = (struct command_line){0};
	else
		s->asked = true;
	if (!s->asked && command__assignment(line, &name, &value) && value &&
	    !strcmp(name, "output"))
		settings__set(&s->settings, name, value, why, sizeof(why));
}

static int next_line(struct shell_front *s, int *ret_fd)
{
	cleanup_free char *line = NULL;
	cleanup_fd int fd = -1;
	int err;

	if (!s->begun)
		prompt__begin(complete);
	s->begun = true;
	completing = s;
	line = prompt__read("(memwatch) ", SHELL_MAX_LINE - 1);
	if (!line)
		return errno ? -errno : -ENODATA;
	note(s, line);
	fd = memfd_create("memwatch-line", MFD_CLOEXEC);
	err = fd < 0 ? -errno : util__write_all(fd, line, strlen(line));
	if (!err && lseek(fd, 0, SEEK_SET))
		err = -errno;
	if (!err)
		*ret_fd = take_fd(&fd);
	return err;
}

/* profile001.svg and so on: the first that is free. */
static void free_name(const char *ending, char *buf, size_t len)
{
	for (int i = 1; i < 10000; i++) {
		snprintf(buf, len, "profile%03d.%s", i, ending);
		if (access(buf, F_OK))
			return;
	}
}

static int to_file(const char *path, int fd)
{
	int err = outfile__write(path, outfile__copy, &fd);

	if (!err)
		log_info("the report is in %s", path);
	return err;
}

static int deliver(struct shell_front *s, int fd)
{
	const struct command_line *l = &s->line;
	char path[64];

	if (!s->asked || fd < 0)
		return -EPERM;
	s->asked = false;
	if (l->pipe)
		return viewer__pipe(l->pipe, outfile__copy, &fd);
	if (*l->settings.output)
		return to_file(l->settings.output, fd);
	switch (l->command->sink) {
	case COMMAND_FILE:
		free_name(l->command->ending, path, sizeof(path));
		return to_file(path, fd);
	case COMMAND_VIEW:
		return viewer__show(l->command->name, l->command->ending, outfile__copy, &fd);
	case COMMAND_TEXT: break; /* it prints that itself */
	}
	return -EPERM;
}

int shell_front__answer(struct shell_front *s, const char *word, int fd, int *ret_fd)
{
	if (!strcmp(word, SHELL_NAMES))
		return read_names(s, fd);
	if (!strcmp(word, SHELL_LINE))
		return next_line(s, ret_fd);
	return !strcmp(word, SHELL_REPORT) ? deliver(s, fd) : -EPERM;
}

bool shell_front__lists(const struct shell_front *s)
{
	return s->asked && s->line.command->has_param && s->line.command->kind != REPORT_PEEK;
}

int shell_front__draw(const struct shell_front *s, const char *format, int from, int to)
{
	const char *wanted = s->asked ? s->line.command->format : NULL;

	return wanted && !strcmp(wanted, format) ? picture__run_dot(format, from, to) : -EPERM;
}

int shell_front__new(const struct settings *settings, struct shell_front **ret)
{
	struct shell_front *s = calloc(1, sizeof(*s));
	int err = s ? settings__copy(settings, &s->settings) : -ENOMEM;

	if (err)
		free(s);
	else
		*ret = s;
	return err;
}

void shell_front__free(struct shell_front *s)
{
	if (!s)
		return;
	if (s->begun)
		prompt__end();
	command__fini(&s->line);
	settings__fini(&s->settings);
	free(s->functions.text);
	free(s->types.text);
	free(s->names);
	free(s);
}
