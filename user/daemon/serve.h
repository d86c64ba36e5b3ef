/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * serve.h - what the daemon answers over HTTP: profiles as net/http/pprof gives them, for every
 * process (profiles.h), metrics, a list of what is profiled for Prometheus' service discovery.
 */
#ifndef DAEMON_SERVE_H
#define DAEMON_SERVE_H

#include "daemon/keeper.h"
#include "daemon/roster.h"
#include "daemon/scrape.h"
#include "http/http.h"

struct loop;
struct pagefaults;
struct serve;

/* keeper NULL: no history; faults NULL: none are sampled. All borrowed but the copy of `from`; http
 * has been started. 0 or -errno.
 */
int serve__new(struct http *http, const struct scrape_sources *from, struct roster *roster,
	       struct keeper *keeper, struct pagefaults *faults, struct loop *loop,
	       struct serve **ret);
void serve__free(struct serve *s); /* accepts NULL */

/* Before a pass: what it would take away is answered. */
void serve__before_pass(struct serve *s);
/* After a pass, and after a reload. */
void serve__pass(struct serve *s, const struct scrape_sources *from);

#endif
