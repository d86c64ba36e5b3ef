/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/selector.h"

#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rx.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "sys/cgroup.h"
#include "sys/container.h"

struct condition {
	enum selector_kind kind;
	char *value;   /* owned; in the form in which it is compared */
	struct rx *rx; /* of a name */
	uint32_t uid;
	char *container; /* kind of container that is asked for, or NULL; owned */
};

struct selector {
	struct condition *c;
	size_t n, cap;
};

int selector__new(struct selector **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void clear_condition(struct condition *c)
{
	free(c->value);
	free(c->container);
	rx__free(c->rx);
}

void selector__free(struct selector *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		clear_condition(&s->c[i]);
	free(s->c);
	free(s);
}

/* --- conditions from text --- */

__attribute__((format(printf, 2, 3))) static int refuse(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, SELECTOR_WHY, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_unit_type(const char *dot)
{
	static const char *const types[] = {".service", ".scope", ".slice",
					    ".socket",	".mount", ".swap"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!strcmp(dot, types[i]))
			return true;
	}
	return false;
}

/* As systemctl takes it: what is not said to be another type is a service. */
static int take_unit(struct condition *c, const char *value, char *why)
{
	const char *dot = strrchr(value, '.');

	if (strchr(value, '/'))
		return refuse(why, "'%s' is no unit: a path is given with cgroup", value);
	if (asprintf(&c->value, "%s%s", value, dot && is_unit_type(dot) ? "" : ".service") < 0) {
		c->value = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* "/sys/fs/cgroup/a/b/" and "a/b" are "/a/b" */
static int take_cgroup(struct condition *c, const char *value, char *why)
{
	char path[CGROUP_PATH];
	size_t n;

	if (cgroup__without_mount(value, path, sizeof(path)))
		return refuse(why, "'%.60s...' is no cgroup: the path is too long", value);
	n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		path[--n] = 0;
	c->value = strdup(path);
	return c->value ? 0 : -ENOMEM;
}

static int take_name(struct condition *c, const char *value, char *why)
{
	char what[SELECTOR_WHY] = "";
	int err = rx__new(value, &c->rx, what, sizeof(what));

	if (err == -EINVAL)
		return refuse(why, "'%s' is no regular expression: %s", value, what);
	c->value = err ? NULL : strdup(value);
	return c->value ? 0 : -ENOMEM;
}

static int take_container(struct condition *c, const char *value, char *why)
{
	const char *colon = strchr(value, ':'), *id = colon ? colon + 1 : value;

	if (!*id || strchr(id, '/'))
		return refuse(why, "'%s' is no identifier of a container", value);
	c->value = strdup(id);
	c->container = colon ? strndup(value, (size_t)(colon - value)) : NULL;
	return c->value && (c->container || !colon) ? 0 : -ENOMEM;
}

static int take_user(struct condition *c, const char *value, char *why)
{
	const struct passwd *pw = getpwnam(value);
	char *end;
	unsigned long uid = pw ? pw->pw_uid : strtoul(value, &end, 10);

	if (!pw && (*end || value[0] < '0' || value[0] > '9' || uid >= UINT32_MAX))
		return refuse(why, "'%s' is no user", value);
	c->uid = (uint32_t)uid;
	c->value = strdup(value);
	return c->value ? 0 : -ENOMEM;
}

static bool match_unit(const struct condition *c, const struct selector_facts *f);
static bool match_cgroup(const struct condition *c, const struct selector_facts *f);
static bool match_name(const struct condition *c, const struct selector_facts *f);
static bool match_container(const struct condition *c, const struct selector_facts *f);
static bool match_user(const struct condition *c, const struct selector_facts *f);

static const struct {
	const char *name;
	int (*take)(struct condition *c, const char *value, char *why);
	bool (*match)(const struct condition *c, const struct selector_facts *f);
} kinds[SELECTOR_KINDS] = {
	[SELECTOR_UNIT] = {"unit", take_unit, match_unit},
	[SELECTOR_CGROUP] = {"cgroup", take_cgroup, match_cgroup},
	[SELECTOR_NAME] = {"name", take_name, match_name},
	[SELECTOR_CONTAINER] = {"container", take_container, match_container},
	[SELECTOR_USER] = {"user", take_user, match_user},
};

int selector__add(struct selector *s, enum selector_kind kind, const char *value,
		  char why[SELECTOR_WHY])
{
	struct condition c = {.kind = kind};
	int err;

	why[0] = 0;
	if (!*value)
		return refuse(why, "nothing is given");
	err = kinds[kind].take(&c, value, why);
	if (!err)
		err = array_reserve(s->c, s->cap, s->n + 1);
	if (err) {
		clear_condition(&c);
		return err;
	}
	s->c[s->n++] = c;
	return 0;
}

int selector__parse(struct selector *s, const char *text, char why[SELECTOR_WHY])
{
	const char *eq = strchr(text, '=');

	for (int k = 0; eq && k < SELECTOR_KINDS; k++) {
		size_t n = (size_t)(eq - text);

		if ((n == strlen(kinds[k].name) && !strncmp(text, kinds[k].name, n)) ||
		    (k == SELECTOR_NAME && n == 4 && !strncmp(text, "comm", 4)))
			return selector__add(s, k, eq + 1, why);
	}
	return refuse(why, "'%s' is none of unit=, cgroup=, name=, container=, user= with a value",
		      text);
}

const char *selector__kind_name(enum selector_kind kind)
{
	return kinds[kind].name;
}

bool selector__empty(const struct selector *s)
{
	return !s || !s->n;
}

bool selector__uses(const struct selector *s, enum selector_kind kind)
{
	for (size_t i = 0; s && i < s->n; i++) {
		if (s->c[i].kind == kind)
			return true;
	}
	return false;
}

char *selector__text(const struct selector *s)
{
	struct textbuf b = {0};
	char *text;

	for (size_t i = 0; i < s->n; i++)
		textbuf__format(&b, "%s%s %s%s%s", i ? ", " : "", kinds[s->c[i].kind].name,
				s->c[i].container ? s->c[i].container : "",
				s->c[i].container ? ":" : "", s->c[i].value);
	if (!s->n)
		textbuf__str(&b, "nothing");
	return textbuf__take(&b, &text) ? NULL : text;
}

/* --- matching --- */

/* The path of each hierarchy in turn, from NULL on; false at the end. */
static bool next_path(const char **at, char path[CGROUP_PATH])
{
	while (*at && **at) {
		size_t len = strcspn(*at, "\n");
		const char *c1 = memchr(*at, ':', len), *end = *at + len;
		const char *c2 = c1 ? memchr(c1 + 1, ':', (size_t)(end - c1 - 1)) : NULL;
		size_t n = c2 ? (size_t)(end - c2 - 1) : 0;

		*at = end + (*end == '\n');
		if (!n || n >= CGROUP_PATH)
			continue;
		memcpy(path, c2 + 1, n);
		path[n] = 0;
		return true;
	}
	return false;
}

/* Names hold backslashes ("dev-disk\x2d1.swap"), which quote nothing. */
static bool is_like(const char *pattern, const char *name)
{
	return !strcmp(pattern, name) || !fnmatch(pattern, name, FNM_NOESCAPE);
}

/* systemd puts '_' in front of names that the kernel's own files could have. */
static bool unit_is(const char *part, const char *pattern)
{
	return is_like(pattern, part) || (*part == '_' && is_like(pattern, part + 1));
}

static bool match_unit(const struct condition *c, const struct selector_facts *f)
{
	char path[CGROUP_PATH];
	const char *at = f->cgroups;

	while (next_path(&at, path)) {
		char *save = NULL;

		for (char *part = strtok_r(path, "/", &save); part;
		     part = strtok_r(NULL, "/", &save)) {
			if (unit_is(part, c->value))
				return true;
		}
	}
	return false;
}

/* Is it the group that is asked for, or below it? */
static bool within(const char *pattern, const char *path)
{
	size_t n = strlen(pattern);

	return !strcmp(pattern, "/") ||
	       (!strncmp(path, pattern, n) && (!path[n] || path[n] == '/')) ||
	       !fnmatch(pattern, path, FNM_NOESCAPE | FNM_PATHNAME | FNM_LEADING_DIR);
}

static bool match_cgroup(const struct condition *c, const struct selector_facts *f)
{
	char path[CGROUP_PATH];
	const char *at = f->cgroups;

	while (next_path(&at, path)) {
		if (within(c->value, path))
			return true;
	}
	return false;
}

static bool match_name(const struct condition *c, const struct selector_facts *f)
{
	const char *slash = f->exe ? strrchr(f->exe, '/') : NULL;
	const char *file = slash ? slash + 1 : f->exe;

	return (f->comm && rx__match(c->rx, f->comm)) || (file && rx__match(c->rx, file));
}

/* Identifiers of digits are told apart by their beginning, names are whole. */
static bool same_id(const char *asked, const char *id)
{
	size_t n = strlen(asked);
	bool digits = strlen(id) >= 32 && strspn(id, "0123456789abcdefABCDEF") == strlen(id);

	return digits ? !strncasecmp(asked, id, n) : !strcmp(asked, id);
}

static bool match_container(const struct condition *c, const struct selector_facts *f)
{
	char path[CGROUP_PATH];
	const char *at = f->cgroups;

	while (next_path(&at, path)) {
		struct container in;

		if (container__of(path, &in) && same_id(c->value, in.id) &&
		    (!c->container || !strcmp(c->container, in.kind)))
			return true;
	}
	return false;
}

static bool match_user(const struct condition *c, const struct selector_facts *f)
{
	return f->uid == c->uid;
}

bool selector__match(const struct selector *s, const struct selector_facts *f)
{
	unsigned asked = 0, met = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct condition *c = &s->c[i];

		asked |= 1u << c->kind;
		if (!(met & (1u << c->kind)) && kinds[c->kind].match(c, f))
			met |= 1u << c->kind;
	}
	return asked && met == asked;
}
