/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load.h - profile files of any kind that memwatch reads, recognised by content. */
#ifndef REPORT_LOAD_H
#define REPORT_LOAD_H

#include "model/profile.h"

/* path "-" is stdin. 0, or a negative errno with a reason in why: -EBADMSG for what is no valid
 * profile, -E2BIG beyond 1 GiB, the file system's own. */
int load__file(const char *path, struct profile **ret, char *why, size_t why_len);

/* The same from memory: gzipped or plain profile.proto, or memwatch.profile/1. */
int load__buffer(const void *buf, size_t len, struct profile **ret, const char **ret_why);

#endif
