/* SPDX-License-Identifier: GPL-2.0-or-later */
/* list.c - source annotated with flat and cum per line; see report.h. */
#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "report/measure.h"
#include "report/report.h"
#include "sys/privilege.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define MARGIN 5 /* lines before the first and after the last sample */
#define MAX_SOURCE ((size_t)64 << 20)
#define MAX_LINE ((int64_t)1 << 40) /* what a profile says beyond is nonsense */

/* A source file, its lines NUL-terminated: line n (from 1) at text + at[n-1]. */
struct source_text {
	uint32_t file; /* string of the profile */
	char *text;
	size_t *at;
	size_t n, cap;
	char *why; /* could not be read */
};

struct sources { /* each file is read once */
	const char *dirs;
	struct source_text *s;
	size_t n, cap;
};

static void sources_free(struct sources *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->s[i].text);
		free(c->s[i].at);
		free(c->s[i].why);
	}
	free(c->s);
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
	struct stat st;
	ssize_t n;
	int err = 0;

	privilege__raise(PRIVILEGE_READ);
	if (stat(path, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	n = err ? err : util__read_file(path, MAX_SOURCE, &s->text);
	privilege__lower(PRIVILEGE_READ);
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

/* The file if it was read or `wanted` now; else NULL in *ret. */
static int source_of(struct sources *c, const struct report *r, uint32_t file, bool wanted,
		     const struct source_text **ret)
{
	struct source_text s = {.file = file};
	int err;

	*ret = NULL;
	for (size_t i = 0; i < c->n; i++) {
		if (c->s[i].file == file) {
			*ret = &c->s[i];
			return 0;
		}
	}
	if (!wanted)
		return 0;
	err = array_reserve(c->s, c->cap, c->n + 1);
	err = err ? err : open_source(profile__text(r->p, file), c->dirs, r->o.trim_path, &s);
	if (!err) {
		c->s[c->n] = s;
		*ret = &c->s[c->n++];
	}
	return err;
}

struct function_group { /* the nodes of one function in one file */
	const uint32_t *node;
	size_t n;
};

static int64_t sane(int64_t line)
{
	return line < 0 ? 0 : min_of(line, MAX_LINE);
}

static void line_range(const struct graph *g, const struct function_group *grp, int64_t *first,
		       int64_t *last)
{
	*first = MAX_LINE;
	*last = 0;
	for (size_t i = 0; i < grp->n; i++) {
		const struct graph_node *n = &g->nodes[grp->node[i]];
		int64_t line = sane(n->line),
			start = n->start_line ? sane(n->start_line) : line - MARGIN;

		*first = min_of(*first, start);
		*last = max_of(*last, line + MARGIN);
	}
	*first = max_of(*first, (int64_t)1);
}

static void value_or_dot(const struct report *r, int64_t v, char *buf, size_t len)
{
	if (v)
		report__value(r, v, buf, len);
	else
		snprintf(buf, len, ".");
}

static int print_lines(const struct report *r, FILE *f, const struct graph *g,
		       const struct function_group *grp, const struct source_text *s, int64_t first,
		       int64_t last)
{
	int err = 0;

	for (int64_t line = first; line <= last && line <= (int64_t)s->n && !err; line++) {
		char flat[MEASURE_LEN], cum[MEASURE_LEN];
		int64_t sum[2] = {0};

		for (size_t i = 0; i < grp->n; i++) {
			const struct graph_node *n = &g->nodes[grp->node[i]];

			if (n->line == line) {
				sum[0] += n->flat;
				sum[1] += n->cum;
			}
		}
		value_or_dot(r, sum[0], flat, sizeof(flat));
		value_or_dot(r, sum[1], cum, sizeof(cum));
		fprintf(f, "%10s %10s %6" PRId64 ":", flat, cum, line);
		for (const char *t = s->text + s->at[line - 1]; *t && !err;) {
			/* Tabs are part of source, other control characters are not shown raw. */
			size_t len = strcspn(t, "\t");
			cleanup_free char *part = strndup(t, len);

			if (part)
				emit__plain(f, part);
			else
				err = -ENOMEM;
			if (t[len])
				putc('\t', f);
			t += len + (t[len] != 0);
		}
		putc('\n', f);
	}
	return err;
}

static int print_group(const struct report *r, FILE *f, const struct graph *g,
		       const struct function_group *grp, struct sources *cache)
{
	const struct graph_node *n = &g->nodes[grp->node[0]];
	char flat[MEASURE_LEN], cum[MEASURE_LEN], percent[MEASURE_LEN];
	int64_t sum[2] = {0}, first, last;
	const struct source_text *s;
	int err;

	for (size_t i = 0; i < grp->n; i++) {
		sum[0] += g->nodes[grp->node[i]].flat;
		sum[1] += g->nodes[grp->node[i]].cum;
	}
	line_range(g, grp, &first, &last);
	err = source_of(cache, r, n->file, first <= last, &s);
	fputs("ROUTINE ======================== ", f);
	emit__plain(f, profile__text(g->p, n->name));
	fputs(" in ", f);
	emit__plain(f, profile__text(g->p, n->file));
	report__value(r, sum[0], flat, sizeof(flat));
	report__value(r, sum[1], cum, sizeof(cum));
	fprintf(f, "\n%10s %10s (flat, cum) %s of Total\n", flat, cum,
		measure__percent(percent, sizeof(percent), sum[1], r->total));
	if (err || !s)
		return err;
	if (!s->why)
		return print_lines(r, f, g, grp, s, first, last);
	fputs(" Error: ", f);
	emit__plain(f, s->why);
	putc('\n', f);
	return err;
}

static int by_name_file_line(const void *x, const void *y, void *arg)
{
	const struct graph *g = arg;
	const struct graph_node *a = &g->nodes[*(const uint32_t *)x];
	const struct graph_node *b = &g->nodes[*(const uint32_t *)y];
	int c = strcmp(profile__text(g->p, a->name), profile__text(g->p, b->name));

	c = c ? c : strcmp(profile__text(g->p, a->file), profile__text(g->p, b->file));
	if (c)
		return c;
	if (a->start_line != b->start_line)
		return a->start_line < b->start_line ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static int print_functions(const struct report *r, FILE *f, const struct graph *g,
			   const uint32_t *node, size_t n, struct sources *cache)
{
	int err = 0;

	for (size_t i = 0; i < n && !err;) {
		const struct graph_node *first = &g->nodes[node[i]];
		struct function_group grp = {.node = node + i};
		bool more;

		while (i + grp.n < n && g->nodes[node[i + grp.n]].name == first->name &&
		       g->nodes[node[i + grp.n]].file == first->file)
			grp.n++;
		i += grp.n;
		if (first->file) {
			err = print_group(r, f, g, &grp, cache);
			continue;
		}
		/* Without a file (it sorts first): said only if no file follows for the name. */
		more = i < n && g->nodes[node[i]].name == first->name;
		if (!more) {
			fputs("No source information for ", f);
			emit__plain(f, profile__text(g->p, first->name));
			putc('\n', f);
		}
	}
	return err;
}

int report__list(struct report *r, FILE *f)
{
	struct graph_options o = {.granularity = GRAPH_LINES, .object_names = true};
	cleanup_free uint32_t *node = NULL;
	cleanup_free char *cwd = NULL;
	char total[MEASURE_LEN];
	struct sources cache = {0};
	struct graph g;
	size_t n = 0;
	int err = report__graph(r, &g, &o);

	if (err)
		return err;
	node = malloc((g.norder + 1) * sizeof(*node));
	cwd = r->o.source_path ? strdup(r->o.source_path) : getcwd(NULL, 0);
	if (!node || !cwd)
		err = -ENOMEM;
	for (size_t i = 0; i < g.norder && !err; i++) {
		if (rx__match(r->o.symbol, profile__text(g.p, g.nodes[g.order[i]].name)))
			node[n++] = g.order[i];
	}
	if (!err && !n)
		err = -ENOENT;
	if (!err) {
		qsort_r(node, n, sizeof(*node), by_name_file_line, &g);
		report__value(r, r->total, total, sizeof(total));
		fprintf(f, "Total: %s\n", total);
		cache.dirs = cwd;
		err = print_functions(r, f, &g, node, n, &cache);
	}
	sources_free(&cache);
	graph__free(&g);
	errno = 0;
	if (!err && (fflush(f) || ferror(f)))
		err = errno ? -errno : -EIO;
	return err;
}
