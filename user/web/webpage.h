/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * webpage.h - the page (tools/web/app.*), and what it draws from, as answers to HTTP requests.
 * Every function here answers the request, also with what went wrong.
 */
#ifndef WEB_WEBPAGE_H
#define WEB_WEBPAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "http/http.h"
#include "model/profile.h"

/* Whom to answer, for answers that are given later than the request's call. */
struct webpage_client {
	struct http *http;
	uint64_t ticket;
	bool gzip;
};

struct webpage_client webpage__client(struct http *h, const struct http_request *r);

/* The page and its files: "/", "/app.js", …. False: the path is none of these. mode: what the page
 * would learn from /api/about, where that is all; NULL: it asks. */
bool webpage__file(const struct webpage_client *c, const struct http_request *r, const char *mode);

/* What fn writes, compressed if the client takes that; headers as in struct http_answer. */
typedef int (*webpage_write_fn)(FILE *f, void *arg);
void webpage__reply(const struct webpage_client *c, const char *content_type, const char *headers,
		    webpage_write_fn fn, void *arg);
/* A profile as the page draws it (memwatch.flame/1); as .pb.gz, with `download` to be saved. */
void webpage__profile(const struct webpage_client *c, const struct profile *p);
void webpage__pprof(const struct webpage_client *c, const struct profile *p, bool download);
/* Source lines of the functions that match the request's `function`, by the sample type `type`. */
void webpage__list(const struct webpage_client *c, const struct http_request *r, struct profile *p);
/* What the stacks of a recording (format/record.h) did over time, likely leaks first. */
#define WEBPAGE_VERDICTS 50 /* of so many stacks */
void webpage__verdicts(const struct webpage_client *c, const void *bytes, size_t len);
/* {"error":TEXT} with a status. */
void webpage__error(const struct webpage_client *c, unsigned status, const char *text);

#endif
