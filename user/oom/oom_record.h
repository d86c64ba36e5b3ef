/* SPDX-License-Identifier: GPL-2.0-or-later */
/* oom_record.h - reads OOM events back from a log of JSON lines (schema memwatch.oom/1). Untrusted:
 * lines that are no such event are skipped and counted. */
#ifndef OOM_OOM_RECORD_H
#define OOM_OOM_RECORD_H

#include "oom/event.h"

/* One line. 0, or -EBADMSG if it is no event; -ENOMSG for a line of another schema. */
int oom_record__parse(const char *line, size_t len, struct oom_event *ret);

struct record_stats {
	uint64_t bad; /* lines that are no events, or damaged */
	bool cut;     /* the file is larger than what is read of it (1 GiB) */
};

/* Calls fn for every event in the file, in order; `line` without its newline; `e` NULL: an object
 * of another schema. 0; -EINVAL: not a regular file; other -errno. */
int oom_record__each(const char *path,
		     void (*fn)(void *arg, const char *line, size_t len, const struct oom_event *e),
		     void *arg, struct record_stats *ret);

#endif
