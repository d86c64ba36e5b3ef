/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timeline_read.h - timelines read back from the CSV and JSON that timeline_file.h writes. The
 * content is not trusted: sizes are bounded, what does not fit is refused with its line.
 */
#ifndef FORMAT_TIMELINE_READ_H
#define FORMAT_TIMELINE_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "model/timeline.h"

#define TIMELINE_READ_PEEK 4096 /* so many bytes of a file tell what it is */

struct timelines { /* in the order of the file */
	struct timeline *line;
	size_t n, cap;
};

/* Do the first bytes of a file say that it is one of timelines? */
bool timeline_read__is(const char *buf, size_t len);

/* All rows of all processes, none thinned. 0, -ENOMEM, or -EBADMSG with a reason in why. */
int timeline_read__buffer(const char *buf, size_t len, struct timelines *ret, char *why,
			  size_t why_len);
void timelines__clear(struct timelines *t);

#endif
