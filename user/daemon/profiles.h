/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profiles.h - /debug/pprof/ for any process, by path (/p/PID/debug/pprof/heap) and by query
 * (/debug/pprof/heap?pid=PID, ?unit=, ?comm=, …), with headers and parameters as those of Go's
 * net/http/pprof. A request that takes a while (?seconds=N, a process that is attached to for it)
 * is answered when its time is over; nothing waits for it meanwhile.
 */
#ifndef DAEMON_PROFILES_H
#define DAEMON_PROFILES_H

#include <stdbool.h>

#include "daemon/keeper.h"
#include "daemon/roster.h"
#include "daemon/scrape.h"
#include "http/http.h"

struct loop;
struct pagefaults;
struct profiles;

/* All borrowed. */
struct profiles_sources {
	struct http *http;
	struct loop *loop;
	const struct scrape_sources *from; /* as of the last pass */
	struct roster *roster;
	struct pagefaults *faults; /* NULL: none are sampled */
	struct keeper *keeper;	   /* NULL: no history */
};

/* 0 or -errno. */
int profiles__new(const struct profiles_sources *s, struct profiles **ret);
void profiles__free(struct profiles *p); /* accepts NULL */

/* False: the path is none of these. */
bool profiles__answer(struct profiles *p, const struct http_request *r);
void profiles__gone(struct profiles *p, uint64_t ticket);
/* Before a pass, which lets go of those who were attached to for a question: what is due is
 * answered.
 */
void profiles__before_pass(struct profiles *p);
/* After a pass: who ended meanwhile is answered at once. */
void profiles__pass(struct profiles *p);

#endif
