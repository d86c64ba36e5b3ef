/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * when.h - moments as people write and read them. One zone for both: local time (TZ), printed with
 * its offset from UTC. Files for programs keep UTC.
 */
#ifndef CORE_WHEN_H
#define CORE_WHEN_H

#include <stddef.h>
#include <stdint.h>

#define WHEN_LEN 40

/* What when__parse understands, for --help and complaints. */
#define WHEN_FORMS "2h ago as 2h, 17:00, yesterday, 2026-01-31, '2026-01-31 08:00', @UNIXSECONDS"

/*
 * A moment in milliseconds since 1970:
 *   "90s", "2h", "3d"             that long before now_ms
 *   "17:00", "17:00:30"           the last time the clock showed that
 *   "now", "today", "yesterday"   the day from its midnight; also "yesterday 17:00"
 *   "2026-01-31", with a time after a blank or T; a trailing Z, +01:00 or +0100 is the zone
 *   "@1700000000"                 seconds since 1970
 * Without a zone: local time. 0 or -EINVAL.
 */
int when__parse(const char *text, int64_t now_ms, int64_t *ret_ms);

/* "2026-11-21 03:54:39.796 +0100". Returns buf (WHEN_LEN bytes). */
char *when__local(char *buf, size_t size, int64_t unix_ms);

/* "2026-11-21T03:54:39.796Z", for files. Returns buf. */
char *when__utc(char *buf, size_t size, int64_t unix_ms);

#endif
