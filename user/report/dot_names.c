/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dot_names.c - see dot_names.h. */
#include "report/dot_names.h"

#include "core/textbuf.h"
#include "core/util.h"
#include "core/rx.h"
#include "report/report.h"

#include <inttypes.h>
#include <string.h>

/* What is left of a name: the groups of the first expression that matches. */
static const char *const shorter[] = {
	"^(?:[\\w\\-\\.]+\\/)+(.+)", /* Go */
	"^(?:[a-z]\\w*\\.)*([A-Z][\\w\\$]*\\.(?:<init>|[a-z][\\w\\$]*(?:\\$\\d+)?))(?:(?:"
	"\\()|$)",							/* Java */
	"^(?:[_a-zA-Z]\\w*::)+(_*[A-Z]\\w*::~?[_a-zA-Z]\\w*(?:<.*>)?)", /* C++ */
};
#define GO_VERSION "^(.*?)/v(?:[2-9]|[1-9][0-9]+)([./].*)$"
#define ANONYMOUS "(anonymous namespace)::"

struct shortener {
	struct rx *version, *rx[ARRAY_SIZE(shorter)];
};

int dot_names__new(struct shortener **ret)
{
	struct shortener *s = calloc(1, sizeof(*s));
	int err = s ? rx__new(GO_VERSION, &s->version, NULL, 0) : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(shorter) && !err; i++)
		err = rx__new(shorter[i], &s->rx[i], NULL, 0);
	if (err)
		dot_names__free(s);
	else
		*ret = s;
	return err;
}

void dot_names__free(struct shortener *s)
{
	if (!s)
		return;
	rx__free(s->version);
	for (size_t i = 0; i < ARRAY_SIZE(shorter); i++)
		rx__free(s->rx[i]);
	free(s);
}

void dot_names__lines(FILE *f, const char *text, const char *line_break)
{
	struct textbuf b = {0};

	while (*text) {
		size_t len = strcspn(text, "\n");
		cleanup_free char *line = strndup(text, len);

		textbuf__reset(&b);
		textbuf__plain(&b, line ? line : "", "");
		for (const char *s = b.text ? b.text : ""; *s; s++) {
			if (*s == '"' || *s == '\\')
				putc('\\', f);
			putc(*s, f);
		}
		if (text[len])
			fputs(line_break, f);
		text += len + (text[len] != 0);
	}
	textbuf__free(&b);
}

void dot_names__escaped(FILE *f, const char *text)
{
	dot_names__lines(f, text, "\\l");
}

/* Without a Go package's "/v2". */
static int drop_version(struct shortener *s, const char *name, char **ret)
{
	size_t a, end, tail, len;

	if (!rx__group(s->version, name, 1, &a, &end) ||
	    !rx__group(s->version, name, 2, &tail, &len)) {
		*ret = strdup(name);
	} else if (asprintf(ret, "%.*s%s", (int)end, name, name + tail) < 0) {
		*ret = NULL;
	}
	return *ret ? 0 : -ENOMEM;
}

static int shorten(struct shortener *s, const char *name, char **ret)
{
	cleanup_free char *plain = NULL;
	size_t from, to;
	int err;

	if (!strncmp(name, ANONYMOUS, strlen(ANONYMOUS)))
		name += strlen(ANONYMOUS);
	err = drop_version(s, name, &plain);
	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(shorter); i++) {
		if (rx__group(s->rx[i], plain, 1, &from, &to)) {
			*ret = strndup(plain + from, to - from);
			return *ret ? 0 : -ENOMEM;
		}
	}
	*ret = take_ptr(plain);
	return 0;
}

/* Line breaks in place of "::" and '.'; Go's "[...]" of type parameters stays together. */
static void put_parts(FILE *f, const char *name)
{
	cleanup_free char *copy = NULL;
	size_t len = 0;
	FILE *m = open_memstream(&copy, &len);

	if (!m)
		return;
	for (const char *s = name; *s;) {
		if (!strncmp(s, "[...]", 5)) {
			fputs("[\u2026]", m);
			s += 5;
		} else if (!strncmp(s, "::", 2)) {
			putc('\n', m);
			s += 2;
		} else {
			putc(*s == '.' ? '\n' : *s, m);
			s++;
		}
	}
	if (!fclose(m))
		dot_names__lines(f, copy, "\\n");
}

int dot_names__label(FILE *f, struct shortener *s, const struct graph *g, uint32_t node)
{
	const struct graph_node *n = &g->nodes[node];
	const char *file = report__base(profile__text(g->p, n->file));
	const char *object = profile__text(g->p, n->object);
	cleanup_free char *name = NULL;
	int err = shorten(s, profile__text(g->p, n->name), &name);

	if (err)
		return err;
	if (n->address)
		fprintf(f, "%016" PRIx64 "\\n", n->address);
	if (*name) {
		put_parts(f, name);
		fputs("\\n", f);
	}
	if (n->line || *file) {
		dot_names__escaped(f, file);
		if (n->line)
			fprintf(f, ":%" PRId64, n->line);
		fputs("\\n", f);
	} else if (!*name && *object) {
		fputs("[", f);
		dot_names__escaped(f, report__base(object));
		fputs("]\\n", f);
	} else if (!*name) {
		fputs("<unknown>\\n", f);
	}
	return 0;
}
