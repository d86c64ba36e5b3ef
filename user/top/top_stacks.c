/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/top_stacks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/shortname.h"
#include "core/top_n.h"
#include "core/units.h"
#include "core/util.h"
#include "elf/symbolizer.h"
#include "core/textbuf.h"
#include "format/text.h"
#include "observe/faults.h"
#include "snapshot/missing.h"
#include "snapshot/snapshot.h"

#define RESIDENT 3	/* value of a page-fault profile: resident_space */
#define JSON_STACKS 100 /* at most, largest first */

struct top_ranked {
	int64_t bytes;
	uint32_t sample;
};

struct top_stacks {
	struct observer *observer;
	struct symbolizer *symbolizer;
	struct profile *profile; /* of the last update; NULL: none yet */
	struct top_ranked *rank; /* stacks with resident bytes, the largest first, in order */
	size_t n;
	int64_t total;
};

static void on_news(void *arg, const struct observer_event *e)
{
	struct top_stacks *s = arg;

	if (e->what == OBSERVER_FILES_GONE)
		snapshot__close_files(s->observer, s->symbolizer);
}

static int open_observer(struct top_stacks *s, const struct plan_tuning *tuning)
{
	struct observer_opts opts = {.fault_period = STACKS_PERIOD,
				     .faults_only = true,
				     .tuning = *tuning,
				     .tell = on_news,
				     .arg = s};
	struct symbolizer_opts sym_opts = {.no_lines = false};
	const char *why = observer__refusal();
	int err = why ? -EOPNOTSUPP : observer__new(&opts, &s->observer);

	if (!err)
		err = symbolizer__new(&sym_opts, &s->symbolizer);
	if (err && !why)
		why = observer__error()[0] ? observer__error() : strerror(-err);
	if (err)
		log_error("no stacks: %s", why);
	return err;
}

int top_stacks__new(const uint32_t *pids, size_t n, bool more_come,
		    const struct plan_tuning *tuning, struct top_stacks **ret)
{
	struct top_stacks *s = calloc(1, sizeof(*s));
	size_t added = 0;
	int err;

	if (!s)
		return -ENOMEM;
	err = open_observer(s, tuning);
	for (size_t i = 0; i < n && !err; i++) {
		const struct target *t;

		/* One that has ended has no row either. */
		added += observer__add(s->observer, (int)pids[i], &t) == 0;
	}
	if (!err && !added && !more_come)
		err = -ESRCH;
	if (err) {
		top_stacks__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void top_stacks__add(struct top_stacks *s, pid_t pid)
{
	observer__drop_ended(s->observer, util__now_ns());
	observer__choose(s->observer, pid);
}

void top_stacks__free(struct top_stacks *s)
{
	if (!s)
		return;
	observer__free(s->observer);
	symbolizer__free(s->symbolizer);
	profile__free(s->profile);
	free(s->rank);
	free(s);
}

void top_stacks__poll(struct top_stacks *s)
{
	observer__catch_up(s->observer);
}

static int by_bytes(const void *a, const void *b)
{
	const struct top_ranked *x = a, *y = b;

	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : 0;
}

int top_stacks__update(struct top_stacks *s)
{
	static const struct snapshot_opts all;
	struct profile *p;
	struct top_ranked *r;
	int err;

	top_stacks__poll(s);
	err = snapshot__faults(s->observer, s->symbolizer, &all, &p);
	if (err)
		return err;
	r = calloc(p->nsamples + 1, sizeof(*r));
	if (!r) {
		profile__free(p);
		return -ENOMEM;
	}
	profile__free(s->profile);
	free(s->rank);
	s->profile = p;
	s->rank = r;
	s->n = s->total = 0;
	for (size_t i = 0; i < p->nsamples; i++) {
		if (p->samples[i].value[RESIDENT] <= 0)
			continue;
		r[s->n++] = (struct top_ranked){p->samples[i].value[RESIDENT], i};
		s->total += p->samples[i].value[RESIDENT];
	}
	top_n__sort(r, s->n, sizeof(*r), JSON_STACKS, by_bytes);
	return 0;
}

size_t top_stacks__lines(const struct top_stacks *s)
{
	return s->n ? 1 + min_of(s->n, (size_t)STACKS_SHOWN) : 0;
}

struct line {
	char *buf;
	size_t len, at;
};

/* As a view of limited width shows it. */
static int plain(char *name, struct textbuf *ret)
{
	shortname(name);
	textbuf__plain(ret, name, "");
	return ret->err;
}

static int put_frame(void *arg, uint32_t location, size_t line, char *name)
{
	struct textbuf text = {0};
	struct line *l = arg;
	int err = plain(name, &text);

	if (!err)
		l->at += snprintf(l->buf + l->at, l->len - l->at, "  %s", text.text);
	textbuf__free(&text);
	return err ? err : l->at >= l->len; /* full */
}

void top_stacks__line(const struct top_stacks *s, size_t i, char *buf, size_t len)
{
	char size[UNITS_LEN];
	struct line l = {.buf = buf, .len = len};
	const struct top_ranked *r;

	if (!i) {
		snprintf(buf, len,
			 "RESIDENT       %%  BY STACK, innermost first (one page fault in %d)",
			 STACKS_PERIOD);
		return;
	}
	r = &s->rank[i - 1];
	l.at = snprintf(buf, len, "%8s  %5.1f", units__size(size, sizeof(size), r->bytes),
			100.0 * (double)r->bytes / (double)s->total);
	text__each_frame(s->profile, &s->profile->samples[r->sample], put_frame, &l);
}

static int append_frame(void *arg, uint32_t location, size_t line, char *name)
{
	struct textbuf text = {0};
	int err = plain(name, &text);

	if (!err)
		err = json_array_append_new(arg, json_string(text.text)) ? -ENOMEM : 0;
	textbuf__free(&text);
	return err;
}

json_t *top_stacks__json(const struct top_stacks *s)
{
	struct losses lost;
	json_t *list = json_array();

	for (size_t i = 0; list && i < s->n && i < JSON_STACKS; i++) {
		json_t *frames = json_array(), *o;

		if (text__each_frame(s->profile, &s->profile->samples[s->rank[i].sample],
				     append_frame, frames)) {
			json_decref(frames);
			json_decref(list);
			return NULL;
		}
		o = json_pack("{sIso}", "resident_bytes", (json_int_t)s->rank[i].bytes, "frames",
			      frames);
		if (!o || json_array_append_new(list, o)) {
			json_decref(list);
			return NULL;
		}
	}
	if (missing__gather(s->observer, NULL, &lost))
		memset(&lost, 0, sizeof(lost));
	return json_pack("{sisIso}", "period", STACKS_PERIOD, "lost",
			 (json_int_t)losses__sum(&lost, LOSSES_SUM), "stacks", list);
}
