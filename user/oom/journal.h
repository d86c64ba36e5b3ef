/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal.h - OOM events to the systemd journal, with structured fields, and to syslog. Nothing
 * waits for who listens there. */
#ifndef OOM_JOURNAL_H
#define OOM_JOURNAL_H

#include "core/textbuf.h"
#include "oom/event.h"
#include "oom/throttle.h"

/* What is told: a sentence, and the event's line of JSON with its newline. */
struct journal_news {
	const char *summary, *json;
	size_t len;
	struct textbuf *room; /* to work in: nothing is allocated while it is large enough */
};

/* 0: somebody listens; -errno (datagram__probe). */
int journal__probe(void);
int journal__probe_syslog(void);

/* Fields MESSAGE, MESSAGE_ID, PRIORITY and MEMWATCH_*. 0 or -errno (datagram__send). */
int journal__kill(const struct journal_news *n, const struct oom_event *e);
int journal__throttle(const struct journal_news *n, const struct throttle_event *e);

/* One line with key=value pairs, facility daemon. 0 or -errno (datagram__send). */
int journal__syslog_kill(const struct journal_news *n, const struct oom_event *e);
int journal__syslog_throttle(const struct journal_news *n, const struct throttle_event *e);

#endif
