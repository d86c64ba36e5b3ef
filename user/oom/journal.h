/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal.h - an OOM event to the systemd journal, or to syslog, with structured fields. */
#ifndef OOM_JOURNAL_H
#define OOM_JOURNAL_H

#include "oom/event.h"

/* Fields MESSAGE, MESSAGE_ID, PRIORITY and MEMWATCH_*. 0 or -errno (-ENOENT: no journal runs). */
int journal__send(const struct oom_event *e, const char *summary, const char *json);

/* Whether a journal takes messages. */
bool journal__runs(void);

bool journal__syslog_runs(void);

/* One line with key=value pairs to syslog(3), facility daemon. 0; -ENOENT: no syslog runs. */
int journal__syslog(const struct oom_event *e, const char *summary);

#endif
