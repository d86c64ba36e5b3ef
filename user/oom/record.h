/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record.h - reads OOM events back from a log of JSON lines (schema memwatch.oom/1). Untrusted:
 * lines that are no such event are skipped and counted. */
#ifndef OOM_RECORD_H
#define OOM_RECORD_H

#include "oom/event.h"

/* One line. 0, or -EBADMSG if it is no event; -ENOMSG for a line of another schema. */
int record__parse(const char *line, size_t len, struct oom_event *ret);

/* Calls fn for every event in the file, in order. 0 or -errno; *ret_bad counts unreadable lines. */
int record__each(const char *path,
		 void (*fn)(void *arg, const char *line, size_t len, const struct oom_event *e),
		 void *arg, uint64_t *ret_bad);

/* This boot's id, "" if it cannot be read. buf holds at least 40 bytes. */
void record__boot_id(char *buf);

#endif
