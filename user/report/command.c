/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command.c - the table of commands and their grammar; see command.h. */
#include "report/command.h"

#include "core/usage.h"
#include "core/util.h"

#include <limits.h>
#include <string.h>

#define MAX_NAMES 96 /* of commands and settings */

#define PICTURE(name, help)                                             \
	{                                                               \
		name, REPORT_DOT, COMMAND_FILE, name, name, false, help \
	}
#define VIEW(name, format, help)                                            \
	{                                                                   \
		name, REPORT_DOT, COMMAND_VIEW, format, format, false, help \
	}

const struct command command__all[] = {
	{"callgrind", REPORT_CALLGRIND, COMMAND_FILE, NULL, "callgraph.out", false,
	 "The graph in callgrind's format, for KCachegrind"},
	{"comments", REPORT_COMMENTS, COMMAND_TEXT, NULL, "txt", false, "The profile's comments"},
	{"disasm", REPORT_DISASM, COMMAND_TEXT, NULL, "txt", true,
	 "Instructions of functions that match, with flat and cum"},
	{"dot", REPORT_DOT, COMMAND_TEXT, "dot", "dot", false,
	 "The call graph in graphviz's language"},
	VIEW("eog", "svg", "The call graph, shown by eog"),
	VIEW("evince", "pdf", "The call graph, shown by evince"),
	PICTURE("gif", "The call graph as a GIF picture"),
	VIEW("gv", "ps", "The call graph, shown by gv"),
	{"kcachegrind", REPORT_CALLGRIND, COMMAND_VIEW, NULL, "grind", false,
	 "The graph, shown by KCachegrind"},
	{"list", REPORT_LIST, COMMAND_TEXT, NULL, "txt", true,
	 "Source of functions that match, with flat and cum"},
	PICTURE("pdf", "The call graph as PDF"),
	{"peek", REPORT_PEEK, COMMAND_TEXT, NULL, "txt", true,
	 "Callers and callees of functions that match"},
	PICTURE("png", "The call graph as a PNG picture"),
	{"proto", REPORT_PROTO, COMMAND_FILE, NULL, "pb.gz", false,
	 "The profile as it is filtered now, as a file of pprof's"},
	PICTURE("ps", "The call graph as PostScript"),
	{"raw", REPORT_RAW, COMMAND_TEXT, NULL, "txt", false, "The whole profile as text"},
	PICTURE("svg", "The call graph as SVG"),
	{"tags", REPORT_TAGS, COMMAND_TEXT, NULL, "txt", false, "All labels with what they hold"},
	{"text", REPORT_TOP, COMMAND_TEXT, NULL, "txt", false, "The same as top"},
	{"top", REPORT_TOP, COMMAND_TEXT, NULL, "txt", false,
	 "Functions with the most memory (10, or as many as N)"},
	{"topproto", REPORT_TOPPROTO, COMMAND_FILE, NULL, "pb.gz", false,
	 "What top shows, as a file of pprof's"},
	{"traces", REPORT_TRACES, COMMAND_TEXT, NULL, "txt", false,
	 "Every stack with its value and labels"},
	{"tree", REPORT_TREE, COMMAND_TEXT, NULL, "txt", false,
	 "Every function with its callers above and its callees below"},
	VIEW("web", "svg", "The call graph, shown by a browser"),
	{"weblist", REPORT_WEBLIST, COMMAND_VIEW, NULL, "html", true,
	 "Source and instructions of functions that match, shown by a browser"},
	{NULL},
};

const struct command *command__find(const char *name)
{
	for (const struct command *c = command__all; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

static int reason(char *why, size_t len, const char *text, const char *name)
{
	snprintf(why, len, text, name);
	return -EINVAL;
}

static int unknown(const char *name, const char *next, char *why, size_t why_len)
{
	const char *names[MAX_NAMES];
	char hint[80], word[64];
	size_t n = 0;

	for (const struct command *c = command__all; c->name && n < ARRAY_SIZE(names); c++)
		names[n++] = c->name;
	for (const struct setting *v = settings__all; v->name && n < ARRAY_SIZE(names); v++)
		names[n++] = v->name;
	if (!settings__find(name)) {
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, "="), name);
		snprintf(why, why_len, "unrecognized command: \"%s\"%s (\"help\" lists them)", name,
			 usage__hint(hint, sizeof(hint), word, names, n));
		return -EINVAL;
	}
	snprintf(why, why_len, "did you mean: %s=%s", name, next ? next : "<val>");
	return -EINVAL;
}

/* A word that is a number, in the range of an int. */
static bool is_number(const char *word, int *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(word, &end, 10);
	if (errno || end == word || *end || n < INT_MIN || n > INT_MAX || *word == ' ')
		return false;
	*ret = (int)n;
	return true;
}

static int alternative(char **rx, const char *more)
{
	char *both;

	if (!*more)
		return 0;
	if (asprintf(&both, "%s%s%s", *rx ? *rx : "", *rx ? "|" : "", more) < 0)
		return -ENOMEM;
	free(*rx);
	*rx = both;
	return 0;
}

struct words {
	char *save, *next;
	char digits[32];
};

/* "top10" is "top 10": the number comes next. */
static const struct command *find_with_number(struct words *w, char *name)
{
	const struct command *c = command__find(name);
	size_t n = strlen(name);

	if (c)
		return c;
	while (n && name[n - 1] >= '0' && name[n - 1] <= '9')
		n--;
	if (!n || !name[n] || strlen(name + n) >= sizeof(w->digits))
		return NULL;
	strcpy(w->digits, name + n);
	w->next = w->digits;
	name[n] = 0;
	return command__find(name);
}

static char *next_word(struct words *w)
{
	char *word = w->next ? w->next : strtok_r(NULL, " \t", &w->save);

	w->next = NULL;
	return word;
}

/* What follows the name and the parameter. */
static int parse_rest(struct words *w, struct command_line *l, char **focus, char **ignore,
		      char *why, size_t why_len)
{
	struct settings *s = &l->settings;
	char *word;
	int err = 0;

	while (!err && (word = next_word(w))) {
		if (*word == '|') {
			const char *rest = strtok_r(NULL, "", &w->save);

			if (asprintf(&l->pipe, "%s %s", word + 1, rest ? rest : "") < 0)
				l->pipe = NULL;
			return l->pipe ? 0 : -ENOMEM;
		} else if (is_number(word, &s->nodecount)) {
			continue;
		} else if (*word == '>') {
			const char *file = word[1] ? word + 1 : next_word(w);

			if (!file)
				return reason(why, why_len, "unexpected end of line after %s", ">");
			err = settings__text(&s->output, file);
		} else if (!strcmp(word, "-cum") || !strcmp(word, "--cum")) {
			err = settings__text(&s->sort, "cum");
		} else if (*word == '-') {
			err = alternative(ignore, word + 1);
		} else {
			err = alternative(focus, word);
		}
	}
	return err;
}

static int parse_words(char *copy, struct command_line *l, char **focus, char **ignore, char *why,
		       size_t why_len)
{
	struct words w = {0};
	char *name = strtok_r(copy, " \t", &w.save);

	if (!name)
		return reason(why, why_len, "%s", "empty line");
	l->command = find_with_number(&w, name);
	if (!l->command)
		return unknown(name, next_word(&w), why, why_len);
	if (l->command->has_param) {
		const char *param = next_word(&w);

		if (!param)
			return reason(why, why_len, "command %s requires an argument", name);
		l->param = strdup(param);
		if (!l->param)
			return -ENOMEM;
	}
	return parse_rest(&w, l, focus, ignore, why, why_len);
}

int command__parse(const char *line, const struct settings *s, struct command_line *ret, char *why,
		   size_t why_len)
{
	cleanup_free char *copy = strdup(line), *focus = NULL, *ignore = NULL;
	struct settings *own = &ret->settings;
	bool tags;
	int err = copy ? 0 : -ENOMEM;

	*ret = (struct command_line){0};
	err = err ? err : settings__copy(s, own);
	if (err)
		return err;
	err = parse_words(copy, ret, &focus, &ignore, why, why_len);
	tags = !err && ret->command->kind == REPORT_TAGS;
	if (!err && focus)
		err = settings__text(tags ? &own->tagfocus : &own->focus, focus);
	if (!err && ignore)
		err = settings__text(tags ? &own->tagignore : &own->ignore, ignore);
	if (!err && own->nodecount == -1 && ret->command->kind == REPORT_TOP)
		own->nodecount = 10;
	if (err)
		command__fini(ret);
	return err;
}

char *command__trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	n = strlen(s);
	while (n && strchr(" \t\r", s[n - 1]))
		s[--n] = 0;
	return s;
}

bool command__assignment(char *line, char **ret_name, char **ret_value)
{
	char *eq = strchr(line, '=');

	*ret_value = NULL;
	if (eq) {
		char *comment = NULL;

		*eq = 0;
		for (char *s = eq + 1; (s = strstr(s, "//:")); s++)
			comment = s;
		if (comment)
			*comment = 0;
		*ret_value = command__trim(eq + 1);
	}
	*ret_name = command__trim(line);
	return settings__find(*ret_name);
}

void command__fini(struct command_line *l)
{
	settings__fini(&l->settings);
	free(l->param);
	free(l->pipe);
	*l = (struct command_line){0};
}
