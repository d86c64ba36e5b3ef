/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oom_list.h - what was recorded: by memwatch in a log, by the kernel in its own, and in saved
 * logs; to stdout, as text or JSON. Files are read by a process that holds nothing (sys/apart.h).
 * Of a log and of the kernel's the newest are listed, and how many older ones there were is said.
 */
#ifndef OOM_OOM_LIST_H
#define OOM_OOM_LIST_H

#include "core/textbuf.h"
#include "oom/known.h"

struct oom_list {
	/* What is wanted. */
	bool lists; /* what is recorded; false: what the log has is only to be known */
	bool json, quiet;
	int64_t since_unix_ms, until_unix_ms;
	size_t top; /* as many are listed */
	const char *log_path; /* NULL: none */
	const char *boot_id;
	/* What came of it. */
	struct known known; /* of this boot; without a log, what was listed */
	struct oom_counts {
		uint64_t kills, victimless;
	} listed;
	bool stdout_gone;
	struct textbuf text;
	/* What is to be listed: the newest, in a ring once there are as many. */
	struct oom_list_item {
		char *text; /* owned */
		size_t len;
	} *item;
	size_t nitems, items_cap, oldest;
	uint64_t left_out;
};

void oom_list__fini(struct oom_list *l);

/* All of these return an exit status; the message has been given. */

/* The log and what was rotated away. Privileges other than these (sys/privilege.h) are given up. */
int oom_list__log(struct oom_list *l, unsigned privileges);
/* What the kernel's log has beyond that. */
int oom_list__kernel(struct oom_list *l);
/* The kills of saved logs, explained; "-" is standard input. */
int oom_list__saved(struct oom_list *l, const char *const *path, size_t n);

#endif
