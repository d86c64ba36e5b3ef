/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * served.h - files that the page shows: profiles, recordings, timelines, OOM logs, recognised by
 * content. Paths, with `source=N` (default 0) as the file's number:
 *   /api/about	    what there is
 *   /api/profile   memwatch.flame/1; of recordings `from`, `to` (ms since the start); `base=N`,
 *		    `base_to` subtract; `pid` one process of several
 *   /api/timeline  timelines, also of a recording
 *   /api/verdicts  of a recording
 *   /api/oom	    {"left_out":N,"events":[kills, memwatch.oom/1]}
 *   /api/list	    source lines of functions that match `function`, as text
 *   /debug/pprof/heap	the profile with the same parameters, as .pb.gz
 */
#ifndef WEB_SERVED_H
#define WEB_SERVED_H

#include "http/http.h"

struct served;

int served__new(struct served **ret);
void served__free(struct served *s);
/* 0 or a negative errno, logged. */
int served__add(struct served *s, const char *path);
/* The http_request_fn of these files; ctx is a struct served. */
void served__answer(void *ctx, struct http *h, const struct http_request *r);

#endif
