/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load.h - profile files of any kind that memwatch reads, recognised by content. */
#ifndef REPORT_LOAD_H
#define REPORT_LOAD_H

#include "model/profile.h"
#include "report/recording.h"

/*
 * path "-" is stdin; of a recording the window tells what to take (NULL: the end). 0, or a negative
 * errno with a reason in why: -EBADMSG for what is no valid profile, -E2BIG beyond 1 GiB, the file
 * system's own.
 */
int load__file(const char *path, const struct recording_window *w, struct profile **ret, char *why,
	       size_t why_len);
/* Are the first bytes of the file those of timelines (format/timeline_read.h)? Not of stdin. */
bool load__is_timeline(const char *path);
/* The whole of a file, malloc'ed. 0 or a negative errno with a reason. */
int load__bytes(const char *path, char **ret, size_t *ret_len, char *why, size_t why_len);

/* The same from memory: gzipped or plain profile.proto, memwatch.profile/1, a
 * recording (its end). */
int load__buffer(const void *buf, size_t len, struct profile **ret, const char **ret_why);

#endif
