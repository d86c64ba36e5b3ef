/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources.c - see sources.h. */
#include "report/sources.h"

#include "core/util.h"
#include "report/graph.h"
#include "sys/apart.h"

#include <limits.h>
#include <string.h>

#define MAX_SOURCE ((size_t)64 << 20)

void sources__fini(struct sources *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->s[i].text);
		free(c->s[i].at);
		free(c->s[i].why);
	}
	free(c->s);
	free(c->dirs);
	*c = (struct sources){0};
}

static int split_lines(struct source_text *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		char *end = memchr(s->text + i, '\n', len - i);
		size_t next = end ? (size_t)(end - s->text) + 1 : len;
		int err = array_reserve(s->at, s->cap, s->n + 1);

		if (err)
			return err;
		s->at[s->n++] = i;
		if (end) {
			*end = 0;
			if (end > s->text + i && end[-1] == '\r')
				end[-1] = 0;
		}
		i = next;
	}
	return 0;
}

/* Only regular files: a name in a profile could point to a pipe or a device. */
static int read_regular(const char *path, struct source_text *s)
{
	cleanup_fd int fd = apart__open(path, APART_READ_FILE);
	ssize_t n = fd < 0 ? fd : util__read_fd(fd, MAX_SOURCE, &s->text);

	return n < 0 ? (int)n : split_lines(s, n);
}

/* A relative name is looked for in every directory of the search path and in their parents. */
static int search(const char *name, const char *dirs, struct source_text *s)
{
	while (*dirs) {
		size_t len = strcspn(dirs, ":");
		char dir[PATH_MAX], path[PATH_MAX * 2];

		snprintf(dir, sizeof(dir), "%.*s", (int)min_of(len, sizeof(dir) - 1), dirs);
		for (;;) {
			char *slash = strrchr(dir, '/');

			snprintf(path, sizeof(path), "%s/%s", dir, name);
			if (!read_regular(path, s))
				return 0;
			if (!*dir || !slash)
				break;
			*slash = 0; /* "/usr/src" to "/usr" to "" (the root) */
		}
		dirs += len + (dirs[len] == ':');
	}
	return -ENOENT;
}

static int open_source(const char *file, const char *dirs, const char *trim, struct source_text *s)
{
	const char *name = graph__trim_path(file, trim, dirs);
	int err, rc = 0;

	if (*name != '/') {
		err = search(name, dirs, s);
		if (err)
			rc = asprintf(&s->why, "could not find file %s on path %s", name, dirs);
	} else {
		err = read_regular(name, s);
		if (err)
			rc = asprintf(&s->why, "open %s: %s", name,
				      err == -ENOENT   ? "no such file or directory"
				      : err == -EACCES ? "permission denied"
						       : strerror(-err));
	}
	if (rc < 0)
		s->why = NULL;
	return rc < 0 || err == -ENOMEM ? -ENOMEM : 0;
}

int sources__init(struct sources *c, const char *dirs, const char *trim)
{
	*c = (struct sources){.dirs = dirs ? strdup(dirs) : apart__directory(), .trim = trim};
	return c->dirs ? 0 : -ENOMEM;
}

const struct source_text *sources__known(const struct sources *c, const char *file)
{
	for (size_t i = 0; i < c->n; i++) {
		if (!strcmp(c->s[i].file, file))
			return &c->s[i];
	}
	return NULL;
}

int sources__read(struct sources *c, const char *file, const struct source_text **ret)
{
	struct source_text s = {.file = file};
	int err;

	*ret = sources__known(c, file);
	if (*ret)
		return 0;
	err = array_reserve(c->s, c->cap, c->n + 1);
	err = err ? err : open_source(file, c->dirs, c->trim, &s);
	if (!err) {
		c->s[c->n] = s;
		*ret = &c->s[c->n++];
	}
	return err;
}

const char *sources__line(const struct source_text *s, int64_t line)
{
	return s && !s->why && line > 0 && line <= (int64_t)s->n ? s->text + s->at[line - 1] : NULL;
}
