/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/usage.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/rx.h"
#include "core/textbuf.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"

#define YEAR_NS (366ULL * 86400 * 1000000000)
#define MAX_WORD 40
#define MAX_NAMES 256

/* --- what was probably meant --- */

/* How many letters must be changed, added, left out or exchanged with their neighbour. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), d[MAX_WORD + 1][MAX_WORD + 1];

	if (n > MAX_WORD || m > MAX_WORD)
		return MAX_WORD;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			d[i][j] = min_of(min_of(d[i - 1][j], d[i][j - 1]) + 1,
					 d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = min_of(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[n][m];
}

const char *usage__nearest(const char *word, const char *const *names, size_t n)
{
	size_t best = 1 + strlen(word) / 4;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, names[i]), len = strlen(word);

		/* the beginning of one, or of its second word ("size" for "alert-size") */
		if (len >= 3 &&
		    (!strncmp(names[i], word, len) ||
		     (strchr(names[i], '-') && !strcmp(strchr(names[i], '-') + 1, word))))
			d = min_of(d, (size_t)1);
		if (d > best || (found && d == best))
			continue;
		best = d;
		found = names[i];
	}
	return found;
}

const char *usage__hint(char *buf, size_t size, const char *word, const char *const *names,
			size_t n)
{
	const char *near = usage__nearest(word, names, n);

	if (near)
		snprintf(buf, size, ": did you mean %s?", near);
	else
		*buf = 0;
	return buf;
}

/* --- options --- */

static struct {
	const struct usage_command *all;
	size_t n;
} commands;

void usage__commands(const struct usage_command *all, size_t n)
{
	commands.all = all;
	commands.n = n;
}

struct option_names {
	const struct argp_option *option[MAX_NAMES];
	const char *name[MAX_NAMES + 2];
	size_t n, nnames;
};

static void collect(struct option_names *o, const struct argp *argp)
{
	for (const struct argp_option *p = argp->options;
	     p && (p->name || p->key || p->doc || p->group); p++) {
		if (o->n == MAX_NAMES || (!p->name && (p->key <= ' ' || p->key > '~')))
			continue;
		o->option[o->n++] = p;
		if (p->name && !(p->flags & OPTION_HIDDEN))
			o->name[o->nnames++] = p->name;
	}
	for (const struct argp_child *c = argp->children; c && c->argp; c++)
		collect(o, c->argp);
}

static bool takes_word(const struct argp_option *p)
{
	return p->arg && !(p->flags & OPTION_ARG_OPTIONAL);
}

/* The option of that name or that begins so; getopt tells those that are not unique. */
static const struct argp_option *long_option(const struct option_names *o, const char *name,
					     size_t len)
{
	const struct argp_option *begins = NULL;

	for (size_t i = 0; i < o->n; i++) {
		const char *of = o->option[i]->name;

		if (!of || strncmp(of, name, len))
			continue;
		if (!of[len])
			return o->option[i];
		begins = o->option[i];
	}
	return begins;
}

static bool last_short_takes_word(const struct option_names *o, const char *cluster)
{
	for (const char *c = cluster; *c; c++) {
		for (size_t i = 0; i < o->n; i++) {
			if (o->option[i]->key == *c && o->option[i]->arg)
				return takes_word(o->option[i]) && !c[1];
		}
	}
	return false;
}

/* One letter is a short option. */
static bool has_option(const struct argp *argp, const char *name)
{
	struct option_names o = {.n = 0};
	bool has = false;

	collect(&o, argp);
	for (size_t i = 0; i < o.n && !name[1]; i++)
		has |= o.option[i]->key == *name;
	for (size_t i = 0; i < o.nnames && name[1]; i++)
		has |= !strcmp(o.name[i], name);
	return has;
}

/* Whose option it is, if it is one. */
static void tell_owners(const char *name)
{
	const char *owner[MAX_NAMES];
	size_t n = 0;

	for (size_t i = 0; i < commands.n && n < MAX_NAMES; i++) {
		if (has_option(commands.all[i].argp, name))
			owner[n++] = commands.all[i].name;
	}
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%s'%s'", !i ? "" : i + 1 < n ? ", " : " and ", owner[i]);
	if (n)
		fprintf(stderr, " %s %s%s.\n", n > 1 ? "have" : "has", name[1] ? "--" : "-", name);
}

/* dashes: as they were typed. */
static void unknown(const struct option_names *o, const char *program, const char *dashes,
		    char *name)
{
	const char *near = usage__nearest(name, o->name, o->nnames);

	fprintf(stderr, "%s: unknown option '%s%s'", program, dashes, textbuf__printable(name));
	if (near)
		fprintf(stderr, ": did you mean --%s?", near);
	fputc('\n', stderr);
	tell_owners(name);
	fprintf(stderr, "'%s --help' has the options.\n", program);
	exit(EXIT_USAGE);
}

/* A word behind one dash: letters of options, or the name of one with a dash too few. */
static void check_cluster(const struct option_names *o, const char *program, const char *cluster)
{
	size_t len = strcspn(cluster, "=");
	bool is_letter = strchr("h?", *cluster) != NULL, is_name = false;
	char name[MAX_WORD + 1];

	for (size_t i = 0; i < o->n && !is_letter; i++)
		is_letter = o->option[i]->key == *cluster;
	for (size_t i = 0; i < o->nnames && len > 2 && !is_name; i++)
		is_name = strlen(o->name[i]) == len && !strncmp(o->name[i], cluster, len);
	if (is_letter && !is_name)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)len, cluster);
	unknown(o, program, "-", name);
}

static void look_for_unknown(const struct argp *argp, int argc, char **argv, bool in_order)
{
	struct option_names o = {.name = {"help", "usage"}, .nnames = 2};
	bool skip = false;

	collect(&o, argp);
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		const struct argp_option *p;
		char name[MAX_WORD + 1];
		size_t len;

		if (skip || word[0] != '-' || !word[1]) {
			if (!skip && in_order)
				return; /* the rest is not ours */
			skip = false;
			continue;
		}
		if (!strcmp(word, "--"))
			return;
		if (word[1] != '-') {
			check_cluster(&o, argv[0], word + 1);
			skip = last_short_takes_word(&o, word + 1);
			continue;
		}
		word += 2;
		len = strcspn(word, "=");
		p = long_option(&o, word, len);
		if (!p && strncmp("help", word, len) && strncmp("usage", word, len)) {
			snprintf(name, sizeof(name), "%.*s", (int)len, word);
			unknown(&o, argv[0], "--", name);
		}
		skip = p && takes_word(p) && !word[len];
	}
}

/* Lines, with nothing in them that a terminal obeys. */
static ssize_t write_printable(void *cookie, const char *data, size_t size)
{
	cleanup_free char *text = strndup(data, size);
	size_t len = text ? strlen(text) : 0;

	for (char *line = text; text && line <= text + len; line += strlen(line) + 1) {
		char *end = strchr(line, '\n');

		if (end)
			*end = '\0';
		fprintf(cookie, end ? "%s\n" : "%s", textbuf__printable(line));
	}
	return (ssize_t)size;
}

/* Complaints repeat words of the command line, which may be names that others chose. */
static void complain_printably(struct argp_state *state)
{
	FILE *f = fopencookie(stderr, "w", (cookie_io_functions_t){.write = write_printable});

	if (!f)
		return;
	setvbuf(f, NULL, _IOLBF, 0);
	state->err_stream = f;
}

/* -h */
static error_t parse_help(int key, char *arg, struct argp_state *state)
{
	if (key == ARGP_KEY_INIT)
		complain_printably(state);
	if (key != 'h')
		return ARGP_ERR_UNKNOWN;
	argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
	return 0;
}

void usage__parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input)
{
	static const struct argp_option options[] = {{NULL, 'h', NULL, OPTION_HIDDEN, "", 0}, {0}};
	static const struct argp help = {options, parse_help, NULL, NULL, NULL, NULL, NULL};
	struct argp_child children[16] = {{0}};
	struct argp with_help = *argp;
	size_t n = 0;
	error_t err;

	for (; argp->children && argp->children[n].argp && n < ARRAY_SIZE(children) - 2; n++)
		children[n] = argp->children[n];
	children[n].argp = &help;
	with_help.children = children;
	argp_err_exit_status = EXIT_USAGE;
	look_for_unknown(&with_help, argc, argv, flags & ARGP_IN_ORDER);
	err = argp_parse(&with_help, argc, argv, flags, NULL, input);
	if (err) {
		fprintf(stderr, "%s: %s\n", argv[0], strerror(err));
		exit(err == ENOMEM ? EXIT_FAILED : EXIT_USAGE);
	}
}

/* --- values --- */

static void tell(const struct argp_state *state, const char *option, const char *fmt, va_list args)
{
	fprintf(state->err_stream, "%s: %s%s", state->name, option, *option ? ": " : "");
	vfprintf(state->err_stream, fmt, args);
	fputc('\n', state->err_stream);
}

void usage__tell(const struct argp_state *state, const char *option, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(state, option, fmt, args);
	va_end(args);
}

/* Does not return, as argp_error does not. */
static void __attribute__((format(printf, 3, 4)))
complain(struct argp_state *state, const char *option, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(state, option, fmt, args);
	va_end(args);
	argp_state_help(state, state->err_stream, ARGP_HELP_STD_ERR);
}

uint64_t usage__time(struct argp_state *state, const char *option, const char *arg, uint64_t min_ns)
{
	char least[UNITS_LEN];
	uint64_t ns;

	if (!units__parse_time(arg, &ns) && ns >= min_ns && ns <= YEAR_NS)
		return ns;
	complain(state, option,
		 "'%s' is no time (500ms, 30s, 5m, 1h; a bare number is seconds; %s to a year)",
		 arg, units__time(least, sizeof(least), min_ns));
	return 0;
}

uint64_t usage__size(struct argp_state *state, const char *option, const char *arg, uint64_t max)
{
	char most[UNITS_LEN];
	uint64_t bytes;

	if (!units__parse_size(arg, &bytes) && bytes && bytes <= max)
		return bytes;
	complain(state, option, "'%s' is no size (4096, 512K, 1.5M, 2GiB; 1 to %s)", arg,
		 units__size(most, sizeof(most), (int64_t)max));
	return 0;
}

uint64_t usage__count(struct argp_state *state, const char *option, const char *arg, uint64_t min,
		      uint64_t max, const char *what)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(arg, &end, 10);
	if (!errno && *arg >= '0' && *arg <= '9' && !*end && v >= min && v <= max)
		return v;
	complain(state, option, "'%s' is no %s (%llu to %llu)", arg, what, (unsigned long long)min,
		 (unsigned long long)max);
	return 0;
}

void usage__wrong(struct argp_state *state, const char *option, const char *arg, const char *what,
		  const char *may_be)
{
	complain(state, option, "'%s' is no %s (%s)", arg, what, may_be);
}

double usage__fraction(struct argp_state *state, const char *option, const char *arg)
{
	const char *end;
	double v = 0;

	if (units__parse_number(arg, &v, &end) || v > 1 || *end)
		usage__wrong(state, option, arg, "fraction", "from 0 to 1");
	return v;
}

int64_t usage__moment(struct argp_state *state, const char *option, const char *arg)
{
	int64_t ms = 0;

	if (when__parse(arg, util__wall_ms(), &ms))
		usage__wrong(state, option, arg, "time", WHEN_FORMS);
	return ms;
}

void usage__expression(struct argp_state *state, const char *option, const char *arg)
{
	struct rx *rx = NULL;
	char why[160];
	int err = rx__new(arg, &rx, why, sizeof(why));

	rx__free(rx);
	if (err == -EINVAL)
		complain(state, option, "'%s' is no regular expression: %s", arg, why);
}

double usage__percent(struct argp_state *state, const char *option, const char *arg)
{
	double v;

	if (!units__parse_percent(arg, &v))
		return v;
	complain(state, option, "'%s' is no percentage (2, 0.5, 10%%)", arg);
	return 0;
}

size_t usage__choice(struct argp_state *state, const char *option, const char *arg,
		     const char *const *names, size_t n, const char *what)
{
	char all[512] = "", hint[128];
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(arg, names[i]))
			return i;
		if (len < sizeof(all))
			len += snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
					names[i]);
	}
	complain(state, option, "'%s' is no %s%s (%s)", arg, what,
		 usage__hint(hint, sizeof(hint), arg, names, n), all);
	return 0;
}

static bool has_ending(const char *name, const char *endings)
{
	size_t n = strlen(name);

	for (size_t len; *endings; endings += len + (endings[len] == ' ')) {
		len = strcspn(endings, " ");
		if (n > len && !strncmp(name + n - len, endings, len))
			return true;
	}
	return false;
}

void usage__file(struct argp_state *state, const char *option, const char *arg, const char *endings,
		 const char **seen)
{
	if (*endings && !has_ending(arg, endings))
		complain(state, option, "'%s' is no name that it writes (it must end in %s)", arg,
			 endings);
	if (seen)
		usage__once(state, option, arg, seen);
}

void usage__once(struct argp_state *state, const char *option, const char *arg, const char **seen)
{
	if (*seen)
		complain(state, option, "'%s' and '%s': it may be given once", *seen, arg);
	*seen = arg;
}
