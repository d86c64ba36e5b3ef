/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.c - see filter.h. An expression meets every text once: answers are kept per string. */
#include "report/filter.h"

#include "core/util.h"
#include "report/measure.h"
#include "report/reshape.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { UNKNOWN, NO, YES };

struct memo {
	const struct profile *p;
	struct rx *rx, *except;
	bool simplify; /* match names without their arguments */
	uint8_t *answer;
};

static bool ask(struct memo *m, uint32_t string)
{
	const char *text = profile__text(m->p, string);
	cleanup_free char *simple = NULL;
	bool yes;

	if (m->answer[string] != UNKNOWN)
		return m->answer[string] == YES;
	if (m->simplify) {
		simple = reshape__simple_name(text);
		text = simple ? simple : text;
	}
	yes = rx__match(m->rx, text) && !(m->except && rx__match(m->except, text));
	m->answer[string] = yes ? YES : NO;
	return yes;
}

static int memo_init(struct memo *m, const struct profile *p, struct rx *rx)
{
	*m = (struct memo){.p = p, .rx = rx};
	m->answer = rx ? calloc(p->nstrings + 1, 1) : NULL;
	return rx && !m->answer ? -ENOMEM : 0;
}

static bool line_matches(struct memo *m, const struct profile_line *line)
{
	const struct profile_function *f;

	if (line->function >= m->p->nfunctions)
		return false;
	f = &m->p->functions[line->function];
	return ask(m, f->name) || ask(m, f->file);
}

static bool mapping_matches(struct memo *m, const struct profile_location *l)
{
	return l->mapping < m->p->nmappings && ask(m, m->p->mappings[l->mapping].file);
}

static bool location_matches(struct memo *m, const struct profile_location *l)
{
	for (size_t i = 0; i < l->nlines; i++) {
		if (line_matches(m, &m->p->lines[l->line0 + i]))
			return true;
	}
	return mapping_matches(m, l);
}

/* Keeps the lines for which the expression says `keep`; lines belong to one location alone. */
static void keep_lines(struct profile *p, struct memo *m, struct profile_location *l, bool keep)
{
	size_t n = 0;

	if (mapping_matches(m, l)) {
		if (!keep)
			l->nlines = 0;
		return;
	}
	for (size_t i = 0; i < l->nlines; i++) {
		struct profile_line line = p->lines[l->line0 + i];

		if (line.function >= p->nfunctions || line_matches(m, &line) == keep)
			p->lines[l->line0 + n++] = line;
	}
	l->nlines = n;
}

/* What pruning does with a location: nothing, remove leafward of it, or it as well. */
enum prune { PRUNE_NOT, PRUNE_BENEATH, PRUNE_WITH };

static enum prune prune_location(struct profile *p, struct memo *m, struct profile_location *l)
{
	size_t i = l->nlines;

	while (i-- > 0) {
		uint32_t fn = p->lines[l->line0 + i].function;

		if (fn < p->nfunctions && p->functions[fn].name && ask(m, p->functions[fn].name))
			break;
	}
	if (i == (size_t)-1)
		return PRUNE_NOT;
	if (i == (size_t)l->nlines - 1)
		return PRUNE_WITH;
	l->line0 += i + 1; /* the match and what was inlined into it go */
	l->nlines -= i + 1;
	return PRUNE_BENEATH;
}

/* From the root: the first match below the first frame of the user's own ends the stack. */
static void prune_sample(struct profile *p, const uint8_t *what, struct profile_sample *s)
{
	bool user = false;

	for (size_t i = s->nstack; i-- > 0;) {
		enum prune w = what[p->stack[s->stack0 + i]];

		if (w == PRUNE_NOT) {
			user = true;
		} else if (user) {
			size_t cut = w == PRUNE_WITH ? i + 1 : i;

			s->stack0 += cut;
			s->nstack -= cut;
			return;
		}
	}
}

static int compile_anchored(const char *pattern, struct rx **ret)
{
	cleanup_free char *text = NULL;

	if (asprintf(&text, "^(%s)$", pattern) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return rx__new(text, ret, NULL, 0);
}

int filter__drop_frames(struct profile *p)
{
	struct rx *drop = NULL, *keep = NULL;
	struct memo m = {0};
	uint8_t *what = NULL;
	int err;

	if (!p->drop_frames)
		return 0;
	err = compile_anchored(profile__text(p, p->drop_frames), &drop);
	if (!err && p->keep_frames)
		err = compile_anchored(profile__text(p, p->keep_frames), &keep);
	err = err ? err : memo_init(&m, p, drop);
	if (!err && !(what = malloc(p->nlocations + 1)))
		err = -ENOMEM;
	if (!err) {
		m.except = keep;
		m.simplify = true;
		for (size_t i = 0; i < p->nlocations; i++)
			what[i] = prune_location(p, &m, &p->locations[i]);
		for (size_t i = 0; i < p->nsamples; i++)
			prune_sample(p, what, &p->samples[i]);
	}
	free(what);
	free(m.answer);
	rx__free(drop);
	rx__free(keep);
	return err;
}

/* --- by name --- */

struct filter_names {
	struct memo focus, ignore, hide, show, from;
	uint8_t *focused; /* per location: 0, 1 focused, 2 ignored */
	uint8_t *hidden;
	unsigned matched;
};

static void look_at(struct profile *p, struct filter_names *n, size_t i)
{
	struct profile_location *l = &p->locations[i];

	if (n->ignore.rx && location_matches(&n->ignore, l)) {
		n->matched |= FILTER_IGNORE;
		n->focused[i] = 2;
	} else if (!n->focus.rx || location_matches(&n->focus, l)) {
		n->matched |= FILTER_FOCUS;
		n->focused[i] = 1;
	}
	if (n->hide.rx && location_matches(&n->hide, l)) {
		n->matched |= FILTER_HIDE;
		keep_lines(p, &n->hide, l, false);
		n->hidden[i] |= !l->nlines;
	}
	if (n->show.rx) {
		keep_lines(p, &n->show, l, true);
		if (l->nlines)
			n->matched |= FILTER_SHOW;
		else
			n->hidden[i] = 1;
	}
}

static bool keep_sample(struct profile *p, const struct filter_names *n, struct profile_sample *s)
{
	bool focused = false;
	uint32_t *stack;
	size_t k = 0;

	if (!s->nstack)
		return false;
	stack = p->stack + s->stack0;
	for (size_t i = 0; i < s->nstack; i++) {
		if (n->focused[stack[i]] == 2)
			return false;
		focused |= n->focused[stack[i]] == 1;
	}
	if (!focused)
		return false;
	for (size_t i = 0; i < s->nstack; i++) {
		if (!n->hidden[stack[i]])
			stack[k++] = stack[i];
	}
	s->nstack = k;
	return k > 0;
}

/* True if the location is a place to start from; lines outside of the match go. */
static bool start_here(struct memo *m, struct profile_location *l)
{
	if (mapping_matches(m, l))
		return true;
	for (size_t i = l->nlines; i-- > 0;) {
		if (line_matches(m, &m->p->lines[l->line0 + i])) {
			l->nlines = i + 1;
			return true;
		}
	}
	return false;
}

static void show_from(struct profile *p, struct filter_names *n)
{
	size_t kept = 0;

	/* The array of focused locations has done its work: now, where to start. */
	for (size_t i = 0; i < p->nlocations; i++) {
		n->focused[i] = start_here(&n->from, &p->locations[i]);
		if (n->focused[i])
			n->matched |= FILTER_SHOW_FROM;
	}
	for (size_t i = 0; i < p->nsamples; i++) {
		struct profile_sample s = p->samples[i];

		while (s.nstack && !n->focused[p->stack[s.stack0 + s.nstack - 1]])
			s.nstack--;
		if (s.nstack)
			p->samples[kept++] = s;
	}
	p->nsamples = kept;
}

static int by_name(struct profile *p, const struct filter *f, unsigned *matched)
{
	struct filter_names n = {0};
	size_t kept = 0;
	struct {
		struct memo *m;
		struct rx *rx;
	} memo[] = {{&n.focus, f->focus},
		    {&n.ignore, f->ignore},
		    {&n.hide, f->hide},
		    {&n.show, f->show},
		    {&n.from, f->show_from}};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(memo) && !err; i++)
		err = memo_init(memo[i].m, p, memo[i].rx);
	n.focused = calloc(p->nlocations + 1, 1);
	n.hidden = calloc(p->nlocations + 1, 1);
	if (!n.focused || !n.hidden)
		err = -ENOMEM;
	if (!err) {
		for (size_t i = 0; i < p->nlocations; i++)
			look_at(p, &n, i);
		for (size_t i = 0; i < p->nsamples; i++) {
			if (keep_sample(p, &n, &p->samples[i]))
				p->samples[kept++] = p->samples[i];
		}
		p->nsamples = kept;
		if (f->show_from)
			show_from(p, &n);
		*matched |= n.matched;
	}
	for (size_t i = 0; i < ARRAY_SIZE(memo); i++)
		free(memo[i].m->answer);
	free(n.focused);
	free(n.hidden);
	return err;
}

/* --- by label --- */

#define MAX_PARTS 32

struct tag_filter {
	const char *key; /* NULL: any */
	char *copy;	 /* owns key and the parts */
	bool range;
	double low, high;
	bool has_low, has_high;
	const char *unit;
	struct rx *part[MAX_PARTS];
	size_t nparts;
};

int filter__label_units(const struct profile *p, uint32_t **ret)
{
	uint32_t *unit = calloc(p->nstrings + 1, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];

		for (size_t j = 0; j < s->nlabels; j++) {
			const struct profile_label *l = &p->labels[s->label0 + j];

			if (!l->str && l->key < p->nstrings && !unit[l->key])
				unit[l->key] = l->unit;
		}
	}
	*ret = unit;
	return 0;
}

const char *filter__label_unit(const struct profile *p, const uint32_t *units, uint32_t key)
{
	const char *name = profile__text(p, key);

	if (key < p->nstrings && units[key])
		return profile__text(p, units[key]);
	return !strcmp(name, "alignment") || !strcmp(name, "request") ? "bytes" : name;
}

/* "128kb" at *s: the number scaled to its own unit (or to `unit`), *s moves on. */
static bool parse_bound(const char **s, char unit[16], double *ret, const char *to,
			const char **ret_unit)
{
	char *end;
	size_t n = 0;
	int64_t v;

	if (!isdigit((unsigned char)(*s)[**s == '+' || **s == '-']))
		return false;
	errno = 0;
	v = strtoll(*s, &end, 10);
	if (errno)
		return false;
	while (isalpha((unsigned char)end[n]))
		n++;
	if (n >= 16)
		return false;
	memcpy(unit, end, n);
	unit[n] = 0;
	*s = end + n;
	*ret = measure__scale(v, unit, to ? to : unit, ret_unit);
	return true;
}

/* M, M:, :M and M:M; false if the text is none of these. */
static bool parse_range(struct tag_filter *t, const char *s, char unit[16], char unit2[16])
{
	const char *u2;

	t->has_low = *s != ':';
	if (t->has_low && !parse_bound(&s, unit, &t->low, NULL, &t->unit))
		return false;
	if (!*s) { /* a single value */
		t->high = t->low;
		t->has_high = true;
		return t->has_low;
	}
	if (*s++ != ':')
		return false;
	if (!*s)
		return t->has_low;
	t->has_high = true;
	if (!t->has_low)
		return parse_bound(&s, unit, &t->high, NULL, &t->unit) && !*s;
	return parse_bound(&s, unit2, &t->high, t->unit, &u2) && !*s && !strcmp(u2, t->unit);
}

static void tag_free(struct tag_filter *t)
{
	for (size_t i = 0; i < t->nparts; i++)
		rx__free(t->part[i]);
	free(t->copy);
}

static int tag_parse(struct tag_filter *t, const char *name, const char *text, char unit[2][16],
		     char *why, size_t why_len)
{
	char *value, *save = NULL, *eq, reason[160];

	t->copy = strdup(text);
	if (!t->copy)
		return -ENOMEM;
	value = t->copy;
	eq = strchr(value, '=');
	if (eq) {
		*eq = 0;
		t->key = value;
		value = eq + 1;
	}
	t->range = parse_range(t, value, unit[0], unit[1]);
	if (t->range)
		return 0;
	for (char *p = strtok_r(value, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		int err;

		if (t->nparts == MAX_PARTS) {
			snprintf(why, why_len, "%s: more than %d expressions", name, MAX_PARTS);
			return -EINVAL;
		}
		err = rx__new(p, &t->part[t->nparts], reason, sizeof(reason));
		if (err == -EINVAL)
			snprintf(why, why_len, "%s: '%s' is no regular expression: %s", name, p,
				 reason);
		if (err)
			return err;
		t->nparts++;
	}
	return 0;
}

int filter__check_tag(const char *name, const char *text, char *why, size_t why_len)
{
	struct tag_filter t = {0};
	char unit[2][16];
	int err = tag_parse(&t, name, text, unit, why, why_len);

	tag_free(&t);
	return err;
}

static bool number_matches(const struct profile *p, const struct tag_filter *t,
			   const struct profile_label *l, const char *unit)
{
	const char *u;
	double v = measure__scale(l->num, unit, t->unit, &u);

	return !strcmp(u, t->unit) && (!t->has_low || v >= t->low) &&
	       (!t->has_high || v <= t->high);
}

/* With a key: any value, any part. Without: every part must find some "key:value". */
static bool text_matches(const struct profile *p, const struct tag_filter *t,
			 const struct profile_sample *s)
{
	size_t hit = 0;

	for (size_t k = 0; k < t->nparts; k++) {
		bool found = false;

		for (size_t j = 0; j < s->nlabels && !found; j++) {
			const struct profile_label *l = &p->labels[s->label0 + j];
			const char *key = profile__text(p, l->key), *str = profile__text(p, l->str);
			cleanup_free char *both = NULL;

			if (!l->str)
				continue;
			if (t->key)
				found = !strcmp(key, t->key) && rx__match(t->part[k], str);
			else
				found = asprintf(&both, "%s:%s", key, str) >= 0 &&
					rx__match(t->part[k], both);
		}
		hit += found;
	}
	return t->key ? hit > 0 : hit == t->nparts;
}

static bool tag_matches(const struct profile *p, const struct tag_filter *t,
			const struct profile_sample *s, const uint32_t *units)
{
	if (!t->range)
		return text_matches(p, t, s);
	for (size_t j = 0; j < s->nlabels; j++) {
		const struct profile_label *l = &p->labels[s->label0 + j];

		if (l->str || (t->key && strcmp(profile__text(p, l->key), t->key)))
			continue;
		if (number_matches(p, t, l, filter__label_unit(p, units, l->key)))
			return true;
	}
	return false;
}

static int by_tag(struct profile *p, const struct filter *f, const uint32_t *units,
		  unsigned *matched, char *why, size_t why_len)
{
	struct tag_filter focus = {0}, ignore = {0};
	char unit[4][16];
	size_t kept = 0;
	int err = 0;

	if (f->tag_focus)
		err = tag_parse(&focus, "tagfocus", f->tag_focus, unit, why, why_len);
	if (!err && f->tag_ignore)
		err = tag_parse(&ignore, "tagignore", f->tag_ignore, unit + 2, why, why_len);
	for (size_t i = 0; i < p->nsamples && !err; i++) {
		bool in = !f->tag_focus || tag_matches(p, &focus, &p->samples[i], units);
		bool out = f->tag_ignore && tag_matches(p, &ignore, &p->samples[i], units);

		*matched |= (in ? FILTER_TAG_FOCUS : 0) | (out ? FILTER_TAG_IGNORE : 0);
		if (in && !out)
			p->samples[kept++] = p->samples[i];
	}
	if (!err)
		p->nsamples = kept;
	tag_free(&focus);
	tag_free(&ignore);
	return err;
}

int filter__apply(struct profile *p, const struct filter *f, unsigned *ret_unmatched, char *why,
		  size_t why_len)
{
	unsigned wanted = (f->focus ? FILTER_FOCUS : 0) | (f->ignore ? FILTER_IGNORE : 0) |
			  (f->hide ? FILTER_HIDE : 0) | (f->show ? FILTER_SHOW : 0) |
			  (f->show_from ? FILTER_SHOW_FROM : 0) |
			  (f->tag_focus ? FILTER_TAG_FOCUS : 0) |
			  (f->tag_ignore ? FILTER_TAG_IGNORE : 0) |
			  (f->tag_show ? FILTER_TAG_SHOW : 0) | (f->tag_hide ? FILTER_TAG_HIDE : 0);
	cleanup_free uint32_t *units = NULL;
	bool tags = f->tag_focus || f->tag_ignore;
	unsigned matched = 0;
	/* Units are those of all samples, also of those that go. */
	int err = tags ? filter__label_units(p, &units) : 0;

	err = err ? err : by_name(p, f, &matched);
	if (!err && tags)
		err = by_tag(p, f, units, &matched, why, why_len);
	if (!err && (f->tag_show || f->tag_hide)) {
		bool found[2];

		reshape__labels_by_key(p, f->tag_show, f->tag_hide, found);
		matched |= (found[0] ? FILTER_TAG_SHOW : 0) | (found[1] ? FILTER_TAG_HIDE : 0);
	}
	if (!err && f->prune_from)
		err = reshape__prune_from(p, f->prune_from);
	*ret_unmatched = wanted & ~matched;
	return err;
}
