/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/choice.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rx.h"
#include "core/util.h"

#define MAX_CONDITIONS 64

/* Kinds that a selector does not know; the costly one is the last. */
enum choice_kind { COMMAND, LABEL, KINDS };

static const char *const kind_names[KINDS] = {[COMMAND] = "command", [LABEL] = "label"};
static const char *const selector_names[] = {"unit", "cgroup", "name", "comm", "container", "user"};

struct choice_condition {
	enum choice_kind kind;
	struct rx *rx; /* of a command */
	char *text;
};

void choice__clear(struct choice *c)
{
	for (size_t i = 0; i < c->n; i++) {
		rx__free(c->conditions[i].rx);
		free(c->conditions[i].text);
	}
	free(c->conditions);
	selector__free(c->selector);
	memset(c, 0, sizeof(*c));
}

const char *choice__kinds(void)
{
	return "comm, command, unit, cgroup, container, user, label";
}

bool choice__is_kind(const char *name)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (!strcmp(name, kind_names[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(selector_names); i++) {
		if (!strcmp(name, selector_names[i]))
			return true;
	}
	return false;
}

static int add_condition(struct choice *c, enum choice_kind kind, const char *text, char *why)
{
	struct choice_condition *d;
	char reason[80];
	int err = 0;

	if (!*text || (kind == LABEL && (!strchr(text, '=') || *text == '='))) {
		snprintf(why, CHOICE_WHY, "%s",
			 *text ? "a label is written NAME=PATTERN" : "nothing to match with");
		return -EINVAL;
	}
	if (c->n == MAX_CONDITIONS) {
		snprintf(why, CHOICE_WHY, "more than %d conditions", MAX_CONDITIONS);
		return -EINVAL;
	}
	if (array_reserve(c->conditions, c->cap, c->n + 1))
		return -ENOMEM;
	d = &c->conditions[c->n];
	*d = (struct choice_condition){.kind = kind, .text = strdup(text)};
	if (!d->text)
		return -ENOMEM;
	if (kind == COMMAND)
		err = rx__new(text, &d->rx, reason, sizeof(reason));
	if (err == -EINVAL)
		snprintf(why, CHOICE_WHY, "'%s' is no regular expression: %s", text, reason);
	if (err)
		free(d->text);
	else
		c->n++;
	return err;
}

static int add_selector(struct choice *c, const char *kind, const char *value, char *why)
{
	cleanup_free char *text = NULL;
	int err = c->selector ? 0 : selector__new(&c->selector);

	if (!err && asprintf(&text, "%s=%s", kind, value) < 0) {
		text = NULL;
		err = -ENOMEM;
	}
	return err ? err : selector__parse(c->selector, text, why);
}

int choice__add(struct choice *c, const char *kind, const char *value, char why[CHOICE_WHY])
{
	int err = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(selector_names); i++) {
		if (!strcmp(kind, selector_names[i]))
			err = add_selector(c, kind, value, why);
	}
	for (int k = 0; k < KINDS; k++) {
		if (!strcmp(kind, kind_names[k]))
			err = add_condition(c, k, value, why);
	}
	c->is_damaged |= err == -EINVAL;
	return err;
}

bool choice__is_all(const struct choice *c)
{
	return selector__empty(c->selector) && !c->n && !c->is_damaged && !c->min_rss_bytes &&
	       c->growth_bytes_min <= 0;
}

static bool matches_label(const char *text, const char *environ)
{
	size_t n = strcspn(text, "=") + 1;

	for (; environ && *environ; environ += strlen(environ) + 1) {
		if (!strncmp(environ, text, n) && !fnmatch(text + n, environ + n, 0))
			return true;
	}
	return false;
}

static bool matches_one(const struct choice_condition *d, const struct choice_facts *f)
{
	if (d->kind == COMMAND)
		return f->command && rx__match(d->rx, f->command);
	return f->environ && matches_label(d->text, f->environ(f->environ_arg));
}

/* One of this kind's conditions holds, or there is none. */
static bool matches_kind(const struct choice *c, enum choice_kind kind,
			 const struct choice_facts *f)
{
	bool asked = false;

	for (size_t i = 0; i < c->n; i++) {
		if (c->conditions[i].kind != kind)
			continue;
		if (matches_one(&c->conditions[i], f))
			return true;
		asked = true;
	}
	return !asked;
}

static bool grows(const struct choice *c, const struct choice_facts *f)
{
	return c->growth_bytes_min <= 0 ||
	       (f->growth && f->growth(f->growth_arg) >= c->growth_bytes_min);
}

bool choice__matches(const struct choice *c, const struct choice_facts *f)
{
	if (f->rss_bytes < c->min_rss_bytes || !grows(c, f))
		return false;
	if (!selector__empty(c->selector) && !selector__match(c->selector, &f->names))
		return false;
	for (int k = 0; k < KINDS; k++) {
		if (!matches_kind(c, k, f))
			return false;
	}
	return true;
}

static bool is_unit(const char *name, size_t n)
{
	static const char *const endings[] = {".service", ".scope", ".socket", ".mount", ".swap"};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t m = strlen(endings[i]);

		if (n > m && !strncmp(name + n - m, endings[i], m))
			return true;
	}
	return false;
}

char *choice__unit(const char *cgroup, char *buf, size_t len)
{
	buf[0] = 0;
	while (cgroup && *cgroup) {
		size_t n = strcspn(cgroup, "/");

		if (is_unit(cgroup, n))
			snprintf(buf, len, "%.*s", (int)n, cgroup);
		cgroup += n;
		cgroup += *cgroup == '/';
	}
	return buf;
}
