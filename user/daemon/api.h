/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * api.h - what the page asks for (/api/…), as JSON: processes, the machine, timelines and profiles
 * of now and of moments in the history, kills and alerts; and a stream of events that tells when to
 * ask again.
 */
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include <stdbool.h>

#include "daemon/keeper.h"
#include "daemon/scrape.h"
#include "http/http.h"

struct api;

/* All borrowed. */
struct api_sources {
	struct http *http;
	const struct scrape_sources *from; /* as of the last pass */
	struct roster *roster;
	struct keeper *keeper; /* NULL: no history */
};

/* 0 or -ENOMEM. */
int api__new(const struct api_sources *s, struct api **ret);
void api__free(struct api *a); /* accepts NULL */

/* False: the path is none of these. */
bool api__answer(struct api *a, const struct http_request *r);
void api__gone(struct api *a, uint64_t ticket);
/* After a pass: streams are told. */
void api__pass(struct api *a);

#endif
