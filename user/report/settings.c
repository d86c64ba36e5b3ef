/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.c - see settings.h. */
#include "report/settings.h"

#include "core/usage.h"
#include "core/util.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define MAX_CHOICES 16

#define BOOL(name, help)                                                         \
	{                                                                        \
#name, SETTING_BOOL, offsetof(struct settings, name), NULL, help \
	}
#define NUMBER(name, help)                                                         \
	{                                                                          \
#name, SETTING_NUMBER, offsetof(struct settings, name), NULL, help \
	}
#define TEXT(name, help)                                                         \
	{                                                                        \
#name, SETTING_TEXT, offsetof(struct settings, name), NULL, help \
	}

const struct setting settings__all[] = {
	TEXT(output, "File that reports go to, instead of the terminal"),
	BOOL(drop_negative, "Leave out what has negative values"),
	BOOL(call_tree, "In graphs, keep functions apart that are reached on different paths"),
	BOOL(relative_percentages, "Percentages of what the filters leave, not of everything"),
	TEXT(unit, "Unit of values: B, kB, MB, GB, auto (each its own), minimum"),
	BOOL(compact_labels, "No lines about the file above a report"),
	TEXT(source_path, "Where sources are searched"),
	TEXT(trim_path, "Prefixes to cut from the profile's file names"),
	BOOL(intel_syntax, "Instructions of disasm and weblist in Intel's syntax"),
	{"nodecount", SETTING_INT, offsetof(struct settings, nodecount), NULL,
	 "Functions shown at most"},
	NUMBER(nodefraction, "Leave out functions below this share of the total"),
	NUMBER(edgefraction, "Leave out calls below this share of the total"),
	BOOL(trim, "Let nodecount, nodefraction and edgefraction apply"),
	TEXT(focus, "Only stacks with a function, file or module that matches"),
	TEXT(ignore, "No stacks with a match"),
	TEXT(prune_from, "Cut stacks below a matching function"),
	TEXT(hide, "Leave matching frames out of the stacks"),
	TEXT(show, "Leave all other frames out of the stacks"),
	TEXT(show_from, "Cut stacks above the outermost match"),
	TEXT(tagroot, "Labels (a list of keys) that become frames at the root"),
	TEXT(tagleaf, "Labels (a list of keys) that become frames at the leaf"),
	TEXT(tagfocus, "Only samples with a label that matches: bytes=128kb:512kb, comm=worker"),
	TEXT(tagignore, "No samples with such a label"),
	TEXT(tagshow, "Only labels whose key matches"),
	TEXT(taghide, "No labels whose key matches"),
	NUMBER(divide_by, "Divide all values by a constant"),
	BOOL(mean, "Average size of a block instead of the sum"),
	TEXT(sample_index, "Which values: a name or number of a sample type"),
	BOOL(normalize, "With --base: scale to the sum of the base (before the files are read)"),
	{"sort", SETTING_CHOICE, offsetof(struct settings, sort), "cum | flat",
	 "Order: by own value (flat) or by that of all callees too (cum)"},
	{"granularity", SETTING_CHOICE, offsetof(struct settings, granularity),
	 "addresses | filefunctions | files | functions | lines", "What is one row, one box"},
	BOOL(noinlines, "Count inlined functions as their first caller that is none"),
	{NULL},
};

static char **text_slot(const struct settings *s, const struct setting *v)
{
	return (char **)((char *)s + v->offset);
}

static bool is_text(const struct setting *v)
{
	return v->kind == SETTING_TEXT || v->kind == SETTING_CHOICE;
}

int settings__text(char **slot, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*slot);
	*slot = copy;
	return 0;
}

int settings__init(struct settings *s)
{
	int err = 0;

	*s = (struct settings){.trim = true,
			       .nodecount = -1,
			       .nodefraction = 0.005,
			       .edgefraction = 0.001,
			       .divide_by = 1};
	for (const struct setting *v = settings__all; v->name && !err; v++) {
		if (is_text(v))
			err = settings__text(text_slot(s, v), "");
	}
	err = err ? err : settings__text(&s->unit, "minimum");
	err = err ? err : settings__text(&s->sort, "flat");
	err = err ? err : settings__text(&s->granularity, "functions");
	if (err)
		settings__fini(s);
	return err;
}

int settings__copy(const struct settings *s, struct settings *ret)
{
	int err = 0;

	*ret = *s;
	for (const struct setting *v = settings__all; v->name; v++) {
		if (is_text(v)) {
			*text_slot(ret, v) = NULL;
			err = err ? err : settings__text(text_slot(ret, v), *text_slot(s, v));
		}
	}
	if (err)
		settings__fini(ret);
	return err;
}

void settings__fini(struct settings *s)
{
	for (const struct setting *v = settings__all; v->name; v++) {
		if (is_text(v)) {
			free(*text_slot(s, v));
			*text_slot(s, v) = NULL;
		}
	}
}

static bool has_choice(const struct setting *v, const char *name)
{
	size_t len = strlen(name);

	for (const char *c = v->choices; c && len; c = strstr(c, " | ")) {
		c += c == v->choices ? 0 : 3;
		if (!strncmp(c, name, len) && (!c[len] || c[len] == ' '))
			return true;
	}
	return false;
}

const struct setting *settings__find(const char *name)
{
	for (const struct setting *v = settings__all; v->name; v++) {
		if (!strcmp(v->name, name) || has_choice(v, name))
			return v;
	}
	return NULL;
}

bool settings__is_switch(const char *name)
{
	const struct setting *v = settings__find(name);

	return v && (v->kind == SETTING_BOOL || strcmp(v->name, name));
}

static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"true", "t", "yes", "y", "1", ""};
	static const char *const no[] = {"false", "f", "no", "n", "0"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		*ret = true;
		if (!strcasecmp(text, yes[i]))
			return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		*ret = false;
		if (!strcasecmp(text, no[i]))
			return 0;
	}
	return -EINVAL;
}

static int set_value(struct settings *s, const struct setting *v, const char *value)
{
	char *at = (char *)s + v->offset, *end;
	bool yes;

	switch (v->kind) {
	case SETTING_BOOL:
		if (parse_bool(value, &yes))
			return -EINVAL;
		*(bool *)at = yes;
		return 0;
	case SETTING_INT: {
		long n;

		errno = 0;
		n = strtol(value, &end, 10);
		if (errno || end == value || *end || n < INT_MIN || n > INT_MAX)
			return -EINVAL;
		*(int *)at = (int)n;
		return 0;
	}
	case SETTING_NUMBER: {
		double d = strtod(value, &end);

		if (end == value || *end || !isfinite(d))
			return -EINVAL;
		*(double *)at = d;
		return 0;
	}
	case SETTING_CHOICE:
		if (!has_choice(v, value))
			return -EINVAL;
		break;
	case SETTING_TEXT: break;
	}
	return settings__text((char **)at, value);
}

/* Why it is no value of that setting. */
static void explain(const struct setting *v, const char *value, char *why, size_t why_len)
{
	cleanup_free char *choices = v->choices ? strdup(v->choices) : NULL;
	const char *const noun[] = {
		[SETTING_BOOL] = "switch (yes or no)",
		[SETTING_INT] = "whole number",
		[SETTING_NUMBER] = "number",
		[SETTING_CHOICE] = v->name,
	};
	const char *names[MAX_CHOICES];
	char hint[64], *save = NULL;
	size_t n = 0;

	for (char *c = choices ? strtok_r(choices, " |", &save) : NULL; c && n < MAX_CHOICES;
	     c = strtok_r(NULL, " |", &save))
		names[n++] = c;
	snprintf(why, why_len, "'%s' is no %s%s", value, noun[v->kind],
		 usage__hint(hint, sizeof(hint), value, names, n));
	if (v->choices && strlen(why) < why_len)
		snprintf(why + strlen(why), why_len - strlen(why), " (%s)", v->choices);
}

int settings__set(struct settings *s, const char *name, const char *value, char *why,
		  size_t why_len)
{
	const struct setting *v = settings__find(name);
	bool yes;
	int err;

	if (!v) {
		snprintf(why, why_len, "there is no option \"%s\"", name);
		return -EINVAL;
	}
	if (strcmp(v->name, name)) { /* a choice, set by its own name */
		if (parse_bool(value, &yes) || !yes) {
			snprintf(why, why_len, "\"%s\" can only be set: choose another of %s", name,
				 v->choices);
			return -EINVAL;
		}
		value = name;
	}
	err = set_value(s, v, value);
	if (err == -EINVAL)
		explain(v, value, why, why_len);
	return err;
}

const char *settings__value(const struct settings *s, const struct setting *v, char *buf,
			    size_t len)
{
	const char *at = (const char *)s + v->offset;

	switch (v->kind) {
	case SETTING_BOOL: return *(const bool *)at ? "true" : "false";
	case SETTING_INT: snprintf(buf, len, "%d", *(const int *)at); return buf;
	case SETTING_NUMBER:
		for (int digits = 1; digits <= 17; digits++) {
			snprintf(buf, len, "%.*g", digits, *(const double *)at);
			if (strtod(buf, NULL) == *(const double *)at)
				break;
		}
		return buf;
	case SETTING_TEXT:
	case SETTING_CHOICE: break;
	}
	return *(char *const *)at;
}

static int compile(const char *name, const char *text, struct rx **slot, struct rx **ret, char *why,
		   size_t why_len)
{
	char reason[160];
	int err;

	*ret = NULL;
	if (!*text)
		return 0;
	err = rx__new(text, slot, reason, sizeof(reason));
	if (err == -EINVAL)
		snprintf(why, why_len, "%s: '%s' is no regular expression: %s", name, text, reason);
	*ret = *slot;
	return err;
}

static enum graph_granularity granularity(const char *name)
{
	return !strcmp(name, "filefunctions") ? GRAPH_FILEFUNCTIONS
	       : !strcmp(name, "files")	      ? GRAPH_FILES
	       : !strcmp(name, "lines")	      ? GRAPH_LINES
	       : !strcmp(name, "addresses")   ? GRAPH_ADDRESSES
					      : GRAPH_FUNCTIONS;
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

int settings__options(const struct settings *s, struct report_options *o,
		      struct rx *rx[SETTINGS_RX], char *why, size_t why_len)
{
	struct filter *f = &o->filter;
	const struct {
		const char *name, *text;
		struct rx **ret;
	} texts[] = {
		{"focus", s->focus, &f->focus},
		{"ignore", s->ignore, &f->ignore},
		{"hide", s->hide, &f->hide},
		{"show", s->show, &f->show},
		{"show_from", s->show_from, &f->show_from},
		{"prune_from", s->prune_from, &f->prune_from},
		{"tagshow", s->tagshow, &f->tag_show},
		{"taghide", s->taghide, &f->tag_hide},
	};
	int err = 0;

	/* rx[0] is the command's own */
	_Static_assert(ARRAY_SIZE(texts) + 1 == SETTINGS_RX, "a slot for each");
	memset(rx, 0, SETTINGS_RX * sizeof(*rx));
	*o = (struct report_options){
		.mean = s->mean,
		.divide_by = s->divide_by,
		.unit = s->unit,
		.granularity = granularity(s->granularity),
		.no_inlines = s->noinlines,
		.cum = !strcmp(s->sort, "cum"),
		.call_tree = s->call_tree,
		.drop_negative = s->drop_negative,
		.relative = s->relative_percentages,
		.compact = s->compact_labels,
		.untrimmed = !s->trim,
		.intel = s->intel_syntax,
		.top = s->nodecount == -1 ? -1 : max_of(s->nodecount, 0),
		.node_fraction = fabs(s->nodefraction),
		.edge_fraction = fabs(s->edgefraction),
		.source_path = or_null(s->source_path),
		.trim_path = or_null(s->trim_path),
		.tag_root = or_null(s->tagroot),
		.tag_leaf = or_null(s->tagleaf),
		.filter.tag_focus = or_null(s->tagfocus),
		.filter.tag_ignore = or_null(s->tagignore),
	};
	if (!s->divide_by) {
		snprintf(why, why_len, "divide_by: zero divisor specified");
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts) && !err; i++)
		err = compile(texts[i].name, texts[i].text, &rx[i + 1], texts[i].ret, why, why_len);
	if (!err && f->tag_focus)
		err = filter__check_tag("tagfocus", f->tag_focus, why, why_len);
	if (!err && f->tag_ignore)
		err = filter__check_tag("tagignore", f->tag_ignore, why, why_len);
	return err;
}

void settings__free_rx(struct rx *rx[SETTINGS_RX])
{
	for (size_t i = 0; i < SETTINGS_RX; i++) {
		rx__free(rx[i]);
		rx[i] = NULL;
	}
}
