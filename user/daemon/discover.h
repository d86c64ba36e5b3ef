/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * discover.h - the profiled processes in the form of Prometheus' HTTP service discovery: a target
 * each, at the same address, told apart by the parameter ?pid=, with what is known of it as labels.
 */
#ifndef DAEMON_DISCOVER_H
#define DAEMON_DISCOVER_H

#include "core/textbuf.h"
#include "daemon/scrape.h"

/* host: the address as the client knows it. 0 or -ENOMEM. */
int discover__targets(const struct scrape_sources *from, const char *host, struct textbuf *b);

#endif
