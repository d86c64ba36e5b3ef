/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profiles_take.c - the profile that answers a question: of now, of a window, or of what changed.
 */
#include "daemon/profiles_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "report/merge.h"

/* What was allocated in the window, and of it what still lives. The probes know that of each block;
 * a Go runtime does not, and what two moments tell of it are bounds. */
static int take_delta(struct profiles *p, const struct deep_process *d, struct profiles_asked *q,
		      struct profile **ret)
{
	struct profile *now = NULL, *then = q->before;
	const char *why;
	int err = deep__profile(p->s.from->deep, d, d->is_go ? 0 : q->since_ns, 0, &now);

	if (err)
		return err;
	if (d->is_go) {
		err = merge__survivors(then, now, ret, &why);
		profile__free(now);
		return err;
	}
	for (size_t i = 0; i < then->nsamples; i++)
		then->samples[i].value[PROFILE_INUSE_OBJECTS] =
			then->samples[i].value[PROFILE_INUSE_SPACE] = 0;
	err = merge__subtract(&now, then, &why);
	if (err) {
		profile__free(now);
		return err;
	}
	now->difference = false; /* what the window allocated, of which nothing is below zero */
	*ret = now;
	return 0;
}

/* What has changed since a moment: may be negative, as with pprof's own -base. */
static int subtract_base(struct profiles *p, const struct profiles_window *w, struct deep_id id,
			 struct profile **prof)
{
	struct profile *base;
	const char *why;
	int err = keeper__read_profile(p->s.keeper, id, w->base_unix_ms, w->base_unix_ms, &base);

	if (err)
		return err;
	err = merge__subtract(prof, base, &why);
	profile__free(base);
	return err;
}

/* What is compared or added up has the same values, and what each moment tells of itself is out. */
static unsigned with_of(const struct profiles_window *w, const struct deep_process *d)
{
	unsigned with = deep__with(d);

	return w->base_unix_ms || w->n > 1 ? with & DEEP_MAPPINGS : with;
}

static int take_one(struct profiles *p, const struct profiles_window *w, struct profiles_asked *q,
		    struct profile **ret)
{
	const struct deep_process *d = deep__find(p->s.from->deep, q->id);
	char pid[16];
	int err;

	if (!d)
		return deep__is_over_budget(p->s.from->deep, q->id) ? -EDQUOT : -ESRCH;
	err = q->before ? take_delta(p, d, q, ret)
			: deep__profile(p->s.from->deep, d, 0, with_of(w, d), ret);
	if (err)
		return err;
	if (q->before)
		(*ret)->duration_ns = (int64_t)(util__now_ns() - q->since_ns);
	if (w->base_unix_ms)
		err = subtract_base(p, w, q->id, ret);
	if (err) {
		profile__free(take_ptr(*ret));
		return err;
	}
	if (w->gc)
		gcwait__comment(&q->gc, *ret);
	snprintf(pid, sizeof(pid), "%u", q->id.pid);
	return w->n > 1 ? merge__label(*ret, "pid", pid) : 0;
}

const char *profiles__why(int err)
{
	switch (err) {
	case -ESRCH: return "the process has ended";
	case -ENOENT: return "no profile of it was kept at or before the time of base";
	case -ENOSYS: return "no history is kept: base has nothing to go back to";
	case -EDQUOT: return "profiling it cost more than is allowed: it is let go for a while";
	default: return strerror(-err);
	}
}

/* Of all that are asked for; those that are gone are left out, which is noted. */
int profiles__take(struct profiles *p, struct profiles_window *w, struct profile **ret)
{
	struct profile *of[PROFILES_TOGETHER];
	const char *why;
	size_t n = 0;
	int err = 0, last = -ESRCH;

	for (size_t i = 0; i < w->n; i++) {
		int one = take_one(p, w, &w->of[i], &of[n]);

		n += !one;
		last = one ? one : last;
		if (one)
			profiles__leave_out(w, w->of[i].id.pid, profiles__why(one));
	}
	if (!n)
		return last;
	if (n == 1)
		*ret = of[0];
	else
		err = merge__profiles(of, n, ret, &why);
	for (size_t i = 0; i < n && n > 1; i++)
		profile__free(of[i]);
	return err;
}
