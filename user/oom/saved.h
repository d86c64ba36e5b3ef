/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saved.h - explains the OOM kills in a saved log of a kernel: dmesg (with and without times, -T,
 * -x, -e, --time-format=iso), /dev/kmsg as it stands, journalctl -k (short forms, json), syslog
 * (RFC 3164 and 5424), of kernels 3.10 to the newest. Untrusted: whatever the lines say, reading is
 * bounded; lines that are no kernel's are skipped; lines that were wrapped are joined; what is cut
 * off stays unknown.
 */
#ifndef OOM_SAVED_H
#define OOM_SAVED_H

#include "oom/event.h"

enum saved_form {
	SAVED_TEXT, /* no time stamps */
	SAVED_DMESG,
	SAVED_DMESG_CLOCK, /* dmesg -T, -e, iso */
	SAVED_SYSLOG,	   /* and the journal's short forms */
	SAVED_JOURNAL_JSON,
	SAVED_KMSG,
	SAVED_EVENTS, /* memwatch's own log */
};

struct saved_line {
	enum saved_form form;
	bool is_kernel; /* false: a line of somebody else */
	bool has_time, has_boot, no_year;
	int64_t time_unix_ms;
	uint64_t boot_us;
	const char *text; /* borrowed from the line */
};

/*
 * Takes the time stamp off a line (modified). False: there is none that is known; it may be the
 * rest of a wrapped line. near_ms: a moment soon after the log was written, for stamps without a
 * year.
 */
bool saved__decode(char *line, int64_t near_ms, struct saved_line *ret);

struct saved_stats {
	uint64_t lines, kernel_lines, damaged, events;
	bool cut;	   /* there was more than is read (1 GiB) */
	bool assumed_year; /* times had none; the latest possible was taken */
};

/* Calls fn for each kill, in order. `path` "-" is standard input; gzip is undone. 0; -EINVAL: not a
 * regular file; other -errno. */
int saved__read(const char *path, void (*fn)(void *arg, struct oom_event *e), void *arg,
		struct saved_stats *ret);

#endif
