/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "daemon/api.h"
#include "daemon/discover.h"
#include "daemon/profiles.h"
#include "daemon/question.h"
#include "format/openmetrics.h"
#include "run/loop.h"

struct serve {
	struct http *http;
	struct loop *loop;
	struct scrape *scrape;
	struct scrape_sources from;
	struct profiles *profiles;
	struct api *api;
};

static void answer_metrics(struct serve *s, const struct http_request *r)
{
	const char *format = http_request__param(r, "format");
	bool classic = format && !strcmp(format, "prometheus");
	const struct textbuf *b;
	struct http_answer a = {.content_type =
					classic ? OPENMETRICS_TYPE_CLASSIC : OPENMETRICS_TYPE};

	if (format && !classic && strcmp(format, "openmetrics")) {
		http__reply_text(s->http, r->ticket, 400,
				 "format is openmetrics (the default) or prometheus\n");
		return;
	}
	b = scrape__text(s->scrape, &s->from, classic);
	if (!b) {
		http__reply_text(s->http, r->ticket, 500, "out of memory\n");
		return;
	}
	a.body = b->text;
	a.len = b->len;
	http__reply(s->http, r->ticket, &a);
}

static void answer_targets(struct serve *s, const struct http_request *r)
{
	struct http_answer a = {.content_type = "application/json"};
	struct textbuf b = {0};

	if (discover__targets(&s->from, *r->host ? r->host : "localhost", &b)) {
		http__reply_text(s->http, r->ticket, 500, "out of memory\n");
	} else {
		a.body = b.text;
		a.len = b.len;
		http__reply(s->http, r->ticket, &a);
	}
	textbuf__free(&b);
}

/* One of them would be left out without a word. */
static void refuse_twice(struct http *h, const struct http_request *r, const char *name)
{
	char why[128];

	snprintf(why, sizeof(why), "'%.40s' is given twice: one at a time\n", name);
	http__reply_text(h, r->ticket, 400, why);
}

static void on_request(void *ctx, struct http *h, const struct http_request *r)
{
	struct serve *s = ctx;
	const char *twice = question__twice(r);

	if (twice)
		refuse_twice(h, r, twice);
	else if (!strcmp(r->path, "/metrics"))
		answer_metrics(s, r);
	else if (!strcmp(r->path, "/sd"))
		answer_targets(s, r);
	else if (!strcmp(r->path, "/healthz"))
		http__reply_text(h, r->ticket, 200, "ok\n");
	else if (!profiles__answer(s->profiles, r) && !api__answer(s->api, r))
		http__reply_text(h, r->ticket, 404,
				 "nothing here; there are /, /debug/pprof/, /metrics and /sd\n");
}

static void on_gone(void *ctx, struct http *h, uint64_t ticket)
{
	struct serve *s = ctx;

	profiles__gone(s->profiles, ticket);
	api__gone(s->api, ticket);
}

static void on_readable(void *arg, uint32_t events)
{
	struct serve *s = arg;

	if (http__serve(s->http, on_request, on_gone, s) == 0)
		return;
	log_error("the process that speaks HTTP is gone for good; continuing without HTTP");
	loop__drop_fd(s->loop, http__fd(s->http));
}

int serve__new(struct http *http, const struct scrape_sources *from, struct roster *roster,
	       struct keeper *keeper, struct pagefaults *faults, struct loop *loop,
	       struct serve **ret)
{
	struct serve *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->http = http;
	s->from = *from;
	s->loop = loop;
	err = scrape__new(&s->scrape);
	if (!err) {
		struct profiles_sources of = {.http = http,
					      .loop = loop,
					      .from = &s->from,
					      .roster = roster,
					      .keeper = keeper,
					      .faults = faults};

		err = profiles__new(&of, &s->profiles);
	}
	if (!err) {
		struct api_sources of = {
			.http = http, .from = &s->from, .roster = roster, .keeper = keeper};

		err = api__new(&of, &s->api);
	}
	if (!err)
		err = loop__add_fd(loop, http__fd(http), on_readable, s);
	if (err) {
		serve__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void serve__free(struct serve *s)
{
	if (!s)
		return;
	api__free(s->api);
	profiles__free(s->profiles);
	scrape__free(s->scrape);
	free(s);
}

void serve__before_pass(struct serve *s)
{
	profiles__before_pass(s->profiles);
}

void serve__pass(struct serve *s, const struct scrape_sources *from)
{
	s->from = *from;
	scrape__pass(s->scrape, from);
	profiles__pass(s->profiles);
	api__pass(s->api);
}
