/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/live_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/emit.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "format/timeline_plot.h"
#include "probe/proc_timeline.h"
#include "report/open.h"
#include "run/live_verdicts.h"
#include "run/page_server.h"
#include "web/webpage.h"

struct live_page {
	struct page_server server;
	const struct attach_options *opts;
	struct attach *attach; /* NULL: not begun, or ended */
	struct ledgers *ledgers;
	struct residency *residency;
	struct live_verdicts *verdicts; /* NULL: page faults are sampled, no heap */
	uint64_t streams[HTTP_MAX_STREAMS];
	size_t nstreams;
};

static const struct target *find(const struct live_page *p, uint64_t pid)
{
	struct observer *o = p->attach->observer;
	const struct target *t = observer__next(o, NULL);

	while (t && (uint64_t)t->pid != pid)
		t = observer__next(o, t);
	return t;
}

static int write_about(FILE *f, void *arg)
{
	const struct live_page *p = arg;
	struct observer *o = p->attach->observer;
	const char *sep = "";

	fputs("{\"schema\":\"memwatch.page/1\",\"version\":\"" MEMWATCH_VERSION
	      "\",\"mode\":\"live\",\"processes\":[",
	      f);
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		fprintf(f, "%s{\"pid\":%d,\"ended\":%s,\"comm\":", sep, t->pid,
			t->ended ? "true" : "false");
		emit__json(f, t->comm);
		putc('}', f);
		sep = ",";
	}
	fputs("]}\n", f);
	return 0;
}

static int write_timelines(FILE *f, void *arg)
{
	const struct timeline *const *lines;
	size_t n = proc_timeline__all(arg, &lines);

	return timeline_plot__write_json(f, lines, n);
}

static int take(struct live_page *p, const struct target *t, struct profile **ret)
{
	struct snapshot_opts opts = {
		.target = t,
		.mappings = p->opts->with_maps,
		.histograms = true,
		.residency = p->opts->touched,
		.ledgers = p->opts->ledger ? p->ledgers : NULL,
	};
	int err;

	attach__poll(p->attach);
	err = attach__snapshot(p->attach, opts, ret);
	if (err)
		return err;
	err = open__prepare(*ret, false);
	if (err)
		profile__free(*ret);
	return err;
}

static void answer_profile(struct live_page *p, const struct webpage_client *c,
			   const struct http_request *r)
{
	const char *pid = http_request__param(r, "pid");
	const struct target *t = pid ? find(p, strtoull(pid, NULL, 10)) : NULL;
	struct profile *profile;
	int err;

	if (pid && !t) {
		webpage__error(c, 404, "no such process is watched");
		return;
	}
	err = take(p, t, &profile);
	if (err) {
		webpage__error(c, 500, strerror(-err));
		return;
	}
	if (!strcmp(r->path, "/api/profile"))
		webpage__profile(c, profile);
	else if (!strcmp(r->path, "/api/list"))
		webpage__list(c, r, profile);
	else
		webpage__pprof(c, profile, http_request__param(r, "download"));
	profile__free(profile);
}

struct verdicts_asked {
	const struct live_page *page;
	const struct target *target; /* NULL: all */
};

static int write_verdicts(FILE *f, void *arg)
{
	const struct verdicts_asked *q = arg;

	if (!q->page->verdicts) {
		fputs("[]", f);
		return 0;
	}
	return live_verdicts__write(q->page->verdicts, q->page->attach, q->target, WEBPAGE_VERDICTS,
				    f);
}

static void answer_verdicts(struct live_page *p, const struct webpage_client *c,
			    const struct http_request *r)
{
	const char *pid = http_request__param(r, "pid");
	struct verdicts_asked q = {p, pid ? find(p, strtoull(pid, NULL, 10)) : NULL};

	if (pid && !q.target)
		webpage__error(c, 404, "no such process is watched");
	else
		webpage__reply(c, "application/json", NULL, write_verdicts, &q);
}

static void open_stream(struct live_page *p, const struct webpage_client *c)
{
	if (p->nstreams == HTTP_MAX_STREAMS)
		webpage__error(c, 503, "too many pages are open");
	else if (!http__reply(c->http, c->ticket,
			      &(struct http_answer){.content_type = "text/event-stream",
						    .stream = true}))
		p->streams[p->nstreams++] = c->ticket;
}

static void answer(void *ctx, struct http *h, const struct http_request *r)
{
	struct webpage_client c = webpage__client(h, r);
	struct live_page *p = ctx;

	if (webpage__file(&c, r, NULL))
		return;
	if (!p->attach)
		webpage__error(&c, 503, "the run has ended");
	else if (!strcmp(r->path, "/api/about"))
		webpage__reply(&c, "application/json", NULL, write_about, p);
	else if (!strcmp(r->path, "/api/profile") || !strcmp(r->path, "/debug/pprof/heap") ||
		 !strcmp(r->path, "/api/list"))
		answer_profile(p, &c, r);
	else if (!strcmp(r->path, "/api/verdicts"))
		answer_verdicts(p, &c, r);
	else if (!strcmp(r->path, "/api/timeline") && residency__timeline(p->residency))
		webpage__reply(&c, "application/json", NULL, write_timelines,
			       residency__timeline(p->residency));
	else if (!strcmp(r->path, "/api/events"))
		open_stream(p, &c);
	else
		webpage__error(&c, 404, "no such page");
}

static void gone(void *ctx, struct http *h, uint64_t ticket)
{
	struct live_page *p = ctx;

	for (size_t i = 0; i < p->nstreams; i++) {
		if (p->streams[i] == ticket)
			p->streams[i--] = p->streams[--p->nstreams];
	}
}

int live_page__start(const char *listen, struct live_page **ret)
{
	struct live_page *p = calloc(1, sizeof(*p));

	if (!p)
		return EXIT_FAILED;
	p->server = (struct page_server){.answer = answer, .gone = gone, .ctx = p};
	if (page_server__start(&p->server, listen)) {
		free(p);
		return EXIT_FAILED;
	}
	*ret = p;
	return EXIT_DONE;
}

int live_page__begin(struct live_page *p, struct loop *l, const struct attach_options *opts,
		     struct attach *a, struct ledgers *ledgers, struct residency *r,
		     struct live_verdicts *verdicts)
{
	int err;

	p->opts = opts;
	p->attach = a;
	p->ledgers = ledgers;
	p->residency = r;
	p->verdicts = verdicts;
	err = page_server__begin(&p->server, l);
	if (err)
		log_error("failed to serve the page: %s", strerror(-err));
	return err ? EXIT_FAILED : EXIT_DONE;
}

void live_page__changed(struct live_page *p)
{
	if (p && p->attach && p->verdicts)
		live_verdicts__look(p->verdicts, p->attach);
	/* -EAGAIN: that page has not taken the last word yet, and learns all the same */
	for (size_t i = 0; p && i < p->nstreams; i++)
		http__event(p->server.http, p->streams[i], "changed", "", 0);
}

void live_page__end(struct live_page *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nstreams; i++)
		http__end(p->server.http, p->streams[i]);
	p->nstreams = 0;
	p->attach = NULL;
}

void live_page__free(struct live_page *p)
{
	if (!p)
		return;
	page_server__end(&p->server);
	free(p);
}
