/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * api_profile.c - the page's profiles of a process: of now, of a moment that the history kept, the
 * difference of two; to draw, to save, as source lines; and what its stacks did over time.
 */
#include "daemon/api_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "observe/target.h"
#include "report/merge.h"
#include "report/open.h"

bool api__number(const struct http_request *r, const char *name, int64_t otherwise, int64_t max,
		 int64_t *ret)
{
	const char *text = http_request__param(r, name);
	char *end;

	*ret = otherwise;
	if (!text)
		return true;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return *text && !*end && !errno && *ret >= 0 && *ret <= max;
}

/* Which profile is asked for. */
struct which {
	int64_t pid, to, base, kept; /* ms since 1970; kept: its id in the history; 0: not asked */
};

/* With its ledger as it was last read. What only the present tells is left out of what is to be
 * compared with a moment that was kept. */
static int take_now(const struct api_sources *s, const struct deep_process *d, bool compared,
		    struct profile **ret)
{
	const struct ledger *l;
	unsigned with = compared ? deep__with(d) & DEEP_MAPPINGS
				 : deep__with(d) | DEEP_HISTOGRAMS | DEEP_RESIDENCY;
	int err = deep__profile(s->from->deep, d, 0, with, ret);

	if (err)
		return err;
	l = deep__ledger(s->from->deep, d);
	err = l ? profile__ledger(*ret, d->id.pid, d->target->comm, l) : 0;
	if (err)
		profile__free(take_ptr(*ret));
	return err;
}

/* Who has the PID now, or who had it then: start_ns 0. */
static struct deep_id whose(const struct api_sources *s, const struct which *w)
{
	struct deep_id id = {.pid = (uint32_t)w->pid};
	const struct table_proc *row;

	if (w->to || !w->pid)
		return id;
	roster__meet(s->roster, id.pid);
	row = table__find(s->from->table, id.pid);
	id.start_ns = row ? row->row.start_ns : 0;
	return id;
}

/* Of the moment that is asked for, or of now, of that process; of one that never was profiled, what
 * is resident. */
static int take_profile(const struct api_sources *s, const struct which *w, struct deep_id id,
			struct profile **ret)
{
	const struct deep_process *d = deep__find(s->from->deep, id);
	int64_t until = w->to ? w->to : util__wall_ms();
	int err;

	if (!w->to && d)
		return take_now(s, d, w->base, ret);
	err = keeper__read_profile(s->keeper, id, until, until, ret);
	if (!w->to && (err == -ENOENT || err == -ENOSYS) &&
	    !pagefaults__profile(s->from->faults, id, false, ret))
		err = 0;
	return err;
}

/* Of the same process, not of whoever had its number then. */
static int subtract(const struct api_sources *s, const struct which *w, struct deep_id id,
		    struct profile **p)
{
	struct profile *base;
	const char *why;
	int err = keeper__read_profile(s->keeper, id, w->to ? w->to : util__wall_ms(), w->base,
				       &base);

	if (err)
		return err;
	err = merge__subtract(p, base, &why);
	profile__free(base);
	return err;
}

static bool read_which(const struct http_request *r, struct which *ret)
{
	return api__number(r, "pid", 0, UINT32_MAX, &ret->pid) &&
	       api__number(r, "kept", 0, INT64_MAX / 2, &ret->kept) && (ret->pid || ret->kept) &&
	       api__number(r, "to", 0, INT64_MAX / 2, &ret->to) &&
	       api__number(r, "base_to", 0, INT64_MAX / 2, &ret->base) && (!ret->base || ret->pid);
}

static void say_error(const struct webpage_client *c, int err)
{
	webpage__error(c, err == -ENOENT || err == -ENOSYS ? 404 : 500,
		       err == -ENOENT	? "no such profile is kept: of this process, at that time"
		       : err == -ENOSYS ? "no history is kept"
					: strerror(-err));
}

static int take(const struct api_sources *s, const struct which *w, struct profile **ret)
{
	struct history *h = keeper__history(s->keeper);
	struct deep_id id = whose(s, w);
	int err = -ENOSYS;

	if (!w->kept)
		err = take_profile(s, w, id, ret);
	else if (h)
		err = history__read_profile(h, w->kept, ret);
	if (!err && w->base)
		err = subtract(s, w, id, ret);
	if (!err)
		err = open__prepare(*ret, false);
	return err;
}

static void answer_profile(const struct api_sources *s, const struct webpage_client *c,
			   const struct http_request *r, const struct which *w)
{
	struct profile *p = NULL;
	int err = take(s, w, &p);

	if (err)
		say_error(c, err);
	else if (!strcmp(r->path, "/api/profile"))
		webpage__profile(c, p);
	else if (!strcmp(r->path, "/api/list"))
		webpage__list(c, r, p);
	else
		webpage__pprof(c, p, http_request__param(r, "download"));
	profile__free(p);
}

/* Of the profiles that the history has of a process up to a moment. */
static void answer_verdicts(const struct api_sources *s, const struct webpage_client *c,
			    const struct which *w)
{
	struct history *h = keeper__history(s->keeper);
	int64_t until = w->to ? w->to : util__wall_ms(), process, id = w->kept;
	uint8_t *bytes = NULL;
	size_t len = 0;
	int err = h ? 0 : -ENOSYS;

	if (!err && !id) {
		err = keeper__process(s->keeper, whose(s, w), until, &process);
		if (!err)
			err = history__snapshot_at(h, process, until, &id);
	}
	if (!err)
		err = history__read_recording(h, id, &bytes, &len);
	if (err == -ENOENT || err == -ENOSYS)
		http__reply(c->http, c->ticket,
			    &(struct http_answer){
				    .content_type = "application/json", .body = "[]\n", .len = 3});
	else if (err)
		say_error(c, err);
	else
		webpage__verdicts(c, bytes, len);
	free(bytes);
}

bool api_profile__answer(const struct api_sources *s, const struct webpage_client *c,
			 const struct http_request *r)
{
	bool verdicts = !strcmp(r->path, "/api/verdicts");
	struct which w;

	if (strcmp(r->path, "/api/profile") && strcmp(r->path, "/api/pprof") &&
	    strcmp(r->path, "/api/list") && !verdicts)
		return false;
	if (!read_which(r, &w))
		webpage__error(c, 400,
			       "pid is a process id, to and base_to are milliseconds since 1970, "
			       "kept is what /api/oom and /api/alerts say");
	else if (verdicts)
		answer_verdicts(s, c, &w);
	else
		answer_profile(s, c, r, &w);
	return true;
}
