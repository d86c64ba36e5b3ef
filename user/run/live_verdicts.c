/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/live_verdicts.h"

#include <errno.h>
#include <stdlib.h>

#include "core/util.h"
#include "model/watch.h"
#include "report/recording.h"

struct judged {
	uint64_t start_ns; /* of the target: its index may be given to another */
	bool put_in;	   /* since the last live_verdicts__look */
	struct watch watch;
};

struct live_verdicts {
	double leak_after_s;
	struct judged *of[MW_MAX_TARGETS];
};

int live_verdicts__new(double leak_after_s, struct live_verdicts **ret)
{
	struct live_verdicts *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->leak_after_s = leak_after_s;
	*ret = v;
	return 0;
}

static void drop(struct live_verdicts *v, size_t i)
{
	if (!v->of[i])
		return;
	watch__clear(&v->of[i]->watch);
	free(take_ptr(v->of[i]));
}

void live_verdicts__free(struct live_verdicts *v)
{
	for (size_t i = 0; v && i < MW_MAX_TARGETS; i++)
		drop(v, i);
	free(v);
}

static struct judged *find(const struct live_verdicts *v, const struct target *t)
{
	struct judged *j = v->of[t->index];

	return j && j->start_ns == t->start_ns ? j : NULL;
}

/* NULL: there is no memory. */
static struct judged *find_or_begin(struct live_verdicts *v, const struct target *t)
{
	struct judged *j = find(v, t);

	if (j)
		return j;
	drop(v, t->index);
	j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	j->start_ns = t->start_ns;
	j->watch.leak_after_s = v->leak_after_s;
	watch__begin(&j->watch, (double)t->start_ns / 1e9);
	return v->of[t->index] = j;
}

struct watch *live_verdicts__watch(struct live_verdicts *v, const struct target *t)
{
	struct judged *j = find_or_begin(v, t);

	if (!j)
		return NULL;
	j->put_in = true;
	return &j->watch;
}

static int take(struct attach *a, const struct target *t, struct profile **ret)
{
	return attach__snapshot(a, (struct snapshot_opts){.target = t}, ret);
}

void live_verdicts__look(struct live_verdicts *v, struct attach *a)
{
	const struct target *t = observer__next(a->observer, NULL);
	size_t n = 0;

	for (; t && n < JUDGED_PROCESSES; t = observer__next(a->observer, t)) {
		struct judged *j = t->ended ? NULL : find_or_begin(v, t);
		bool put_in = j && j->put_in;
		struct profile *p;

		if (put_in)
			j->put_in = false;
		if (!j || put_in || take(a, t, &p))
			continue;
		n++;
		watch__profile(&j->watch, p, (double)util__now_ns() / 1e9);
		profile__free(p);
	}
}

/* The verdicts on what the profile holds. *ret is malloc'ed. 0 or -ENOMEM. */
static int judge(const struct watch *w, const struct profile *p, struct record_verdict **ret,
		 size_t *ret_n)
{
	cleanup_free uint64_t *keys = calloc(p->nsamples + 1, sizeof(*keys));
	struct record_verdict *v = calloc(p->nsamples + 1, sizeof(*v));
	int err = keys && v ? watch__stack_keys(p, keys) : -ENOMEM;
	size_t n = 0;

	for (size_t i = 0; i < p->nsamples && !err; i++) {
		const struct watch_entry *e = watch__find(w, keys[i]);

		if (!e || !e->series)
			continue;
		v[n].sample = i;
		watch__trend(w, e, &v[n++].trend);
	}
	if (err) {
		free(v);
		return err;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

static int write_one(const struct live_verdicts *v, struct attach *a, const struct target *t,
		     size_t *left, bool *any, FILE *f)
{
	const struct judged *j = find(v, t);
	struct record_verdict *list = NULL;
	struct profile *p = NULL;
	size_t n = 0;
	int err = j ? take(a, t, &p) : -ENOENT;

	if (err == -ENOENT)
		return 0;
	if (!err)
		err = judge(&j->watch, p, &list, &n);
	if (!err) {
		record__sort_verdicts(list, n);
		n = min_of(n, *left);
		*left -= n;
		if (n && *any)
			putc(',', f);
		*any |= n;
		err = recording__put_verdicts(f, p, list, n);
	}
	free(list);
	profile__free(p);
	return err;
}

int live_verdicts__write(const struct live_verdicts *v, struct attach *a, const struct target *t,
			 size_t top, FILE *f)
{
	const struct target *x = t ? t : observer__next(a->observer, NULL);
	bool any = false;
	int err = 0;

	putc('[', f);
	while (x && top && !err) {
		err = write_one(v, a, x, &top, &any, f);
		x = t ? NULL : observer__next(a->observer, x);
	}
	putc(']', f);
	return err;
}
