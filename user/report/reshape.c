/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reshape.c - see reshape.h. */
#include "report/reshape.h"

#include "core/textbuf.h"
#include "core/util.h"
#include "report/measure.h"

#include <string.h>

/* --- frames made of labels --- */

static bool key_is(const struct profile *p, uint32_t key, const char *name, size_t len)
{
	const char *text = profile__text(p, key);

	return !strncmp(text, name, len) && !text[len];
}

static bool key_has_unit(const struct profile *p, const struct profile_sample *s, const char *key,
			 size_t len)
{
	for (size_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		if (!l->str && l->unit && key_is(p, l->key, key, len))
			return true;
	}
	return false;
}

/* All values of a key, text before numbers, joined by ','. True: there is one. */
static bool join_values(const struct profile *p, const struct profile_sample *s, const char *key,
			size_t len, const char *unit, struct textbuf *b)
{
	bool units = key_has_unit(p, s, key, len);
	size_t n = 0;

	for (int text = 1; text >= 0; text--) {
		for (size_t i = 0; i < s->nlabels; i++) {
			const struct profile_label *l = &p->labels[s->label0 + i];
			char num[MEASURE_LEN];

			if ((l->str != 0) != text || !key_is(p, l->key, key, len))
				continue;
			textbuf__str(b, n++ ? "," : "");
			if (text)
				textbuf__str(b, profile__text(p, l->str));
			else
				textbuf__str(b, measure__label(num, sizeof(num), l->num,
							       profile__text(p, l->unit),
							       units ? unit : ""));
		}
	}
	return n;
}

/* The location of one frame: a function called like the values, in a file called like the key. */
static uint32_t label_frame(struct profile_adder *a, const struct profile_sample *s,
			    const char *key, size_t len, const char *unit, bool *found)
{
	struct profile_function fn = {0};
	struct profile_line line = {0};
	struct textbuf b = {0};

	*found |= join_values(a->p, s, key, len, unit, &b);
	if (!a->err)
		a->err = b.err;
	fn.name = profile__add_string(a, b.text ? b.text : "");
	fn.file = profile__add_string_n(a, key, len);
	line.function = profile__add_function(a, &fn);
	textbuf__free(&b);
	return profile__add_location(a, PROFILE_NONE, 0, &line, 1);
}

#define MAX_KEYS 32

struct label_keys {
	const char *key[MAX_KEYS];
	size_t len[MAX_KEYS], n;
};

static void split_keys(const char *text, struct label_keys *k)
{
	while (text && *text && k->n < MAX_KEYS) {
		size_t len = strcspn(text, ",");

		if (len) {
			k->key[k->n] = text;
			k->len[k->n++] = len;
		}
		text += len + (text[len] == ',');
	}
}

/* Frames for the keys, last key first: stacks begin with the leaf. */
static void make_frames(struct profile_adder *a, const struct profile_sample *s,
			const struct label_keys *k, const char *unit, uint32_t frame[MAX_KEYS],
			bool *found)
{
	for (size_t i = 0; i < k->n; i++)
		frame[i] =
			label_frame(a, s, k->key[k->n - 1 - i], k->len[k->n - 1 - i], unit, found);
}

static void append(struct profile *p, const uint32_t *frames, size_t n)
{
	memcpy(p->stack + p->nstack, frames, n * sizeof(*frames));
	p->nstack += n;
}

int reshape__label_frames(struct profile *p, const char *root, const char *leaf, const char *unit,
			  bool ret_found[2])
{
	struct profile_adder a = {p, 0};
	struct label_keys r = {0}, l = {0};

	ret_found[0] = ret_found[1] = false;
	split_keys(root, &r);
	split_keys(leaf, &l);
	if (!r.n && !l.n)
		return 0;
	for (size_t i = 0; i < p->nsamples; i++) {
		struct profile_sample s = p->samples[i];
		uint32_t at_root[MAX_KEYS], at_leaf[MAX_KEYS];
		size_t stack0 = p->nstack;

		if (stack0 + r.n + l.n + s.nstack > PROFILE_MAX_STACK)
			return -E2BIG;
		make_frames(&a, &s, &r, unit, at_root, &ret_found[0]);
		make_frames(&a, &s, &l, unit, at_leaf, &ret_found[1]);
		if (!a.err)
			a.err = array_reserve(p->stack, p->stack_cap,
					      p->nstack + l.n + s.nstack + r.n + 1);
		if (a.err)
			return a.err;
		append(p, at_leaf, l.n);
		append(p, p->stack + s.stack0, s.nstack);
		append(p, at_root, r.n);
		p->samples[i].stack0 = stack0;
		p->samples[i].nstack = p->nstack - stack0;
	}
	return 0;
}

void reshape__no_inlines(struct profile *p)
{
	for (size_t i = 0; i < p->nlocations; i++) {
		struct profile_location *l = &p->locations[i];

		if (l->nlines > 1) {
			l->line0 += l->nlines - 1;
			l->nlines = 1;
		}
	}
}

void reshape__labels_by_key(struct profile *p, struct rx *show, struct rx *hide,
			    bool ret_matched[2])
{
	ret_matched[0] = ret_matched[1] = false;
	for (size_t i = 0; i < p->nsamples; i++) {
		struct profile_sample *s = &p->samples[i];
		size_t n = 0;

		for (size_t k = 0; k < s->nlabels; k++) {
			struct profile_label l = p->labels[s->label0 + k];
			const char *key = profile__text(p, l.key);
			bool shown = !show || rx__match(show, key);
			bool hidden = hide && rx__match(hide, key);

			ret_matched[0] |= shown;
			ret_matched[1] |= hidden;
			if (shown && !hidden)
				p->labels[s->label0 + n++] = l;
		}
		s->nlabels = n;
	}
}

char *reshape__simple_name(const char *name)
{
	static const char *const reserved[] = {"(anonymous namespace)", "operator()"};
	char *copy = strdup(*name == '.' ? name + 1 : name);

	for (char *s = copy; s && *s;) {
		size_t skip = 0;

		for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
			if (!strncmp(s, reserved[i], strlen(reserved[i])))
				skip = strlen(reserved[i]);
		}
		if (!skip && *s == '(')
			*s = 0;
		else
			s += skip ? skip : 1;
	}
	return copy;
}

static bool cut_lines(struct profile *p, struct profile_location *l, struct rx *rx)
{
	for (size_t i = 0; i < l->nlines; i++) {
		uint32_t fn = p->lines[l->line0 + i].function;
		cleanup_free char *name = NULL;

		if (fn >= p->nfunctions || !p->functions[fn].name)
			continue;
		name = reshape__simple_name(profile__text(p, p->functions[fn].name));
		if (name && rx__match(rx, name)) {
			l->line0 += i;
			l->nlines -= i;
			return true;
		}
	}
	return false;
}

int reshape__prune_from(struct profile *p, struct rx *rx)
{
	cleanup_free bool *match = calloc(p->nlocations + 1, sizeof(*match));

	if (!match)
		return -ENOMEM;
	for (size_t i = 0; i < p->nlocations; i++)
		match[i] = cut_lines(p, &p->locations[i], rx);
	for (size_t i = 0; i < p->nsamples; i++) {
		struct profile_sample *s = &p->samples[i];

		for (size_t k = 0; k < s->nstack; k++) {
			if (match[p->stack[s->stack0 + k]]) {
				s->stack0 += k;
				s->nstack -= k;
				break;
			}
		}
	}
	return 0;
}
