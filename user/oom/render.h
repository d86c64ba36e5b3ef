/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * render.h - an OOM event as a line of JSON (schema memwatch.oom/1) and as a report for people.
 * Both append to a buffer that was reserved beforehand: while it is large enough (RENDER_RESERVE),
 * nothing is allocated. Names are untrusted and escaped.
 */
#ifndef OOM_RENDER_H
#define OOM_RENDER_H

#include "oom/event.h"
#include "core/textbuf.h"

#define RENDER_RESERVE (128 << 10)

/* Makes room in the buffer and touches it. 0 or -ENOMEM. */
int render__reserve(struct textbuf *b);

/* One line, with its newline. 0 or -ENOMEM. */
int render__json(struct textbuf *b, const struct oom_event *e);
int render__text(struct textbuf *b, const struct oom_event *e);
/* One sentence without newline, for the journal and syslog. */
int render__summary(struct textbuf *b, const struct oom_event *e);

/* "memcg", "none" (the machine), "cpuset", "mempolicy"; NULL: not known. */
const char *render__constraint(const struct oom_event *e);

#endif
