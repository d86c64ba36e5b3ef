/* SPDX-License-Identifier: GPL-2.0-or-later */
/* judged.h - what the stacks of processes did over the profiles that a history kept of them. */
#ifndef HISTORY_JUDGED_H
#define HISTORY_JUDGED_H

#include <stdbool.h>
#include <stdio.h>

#include "history/history.h"

/* The verdicts on the `top` stacks of a process that matter most, up to a moment: text, or
 * a JSON array. What there are no profiles of has none. 0 or -errno. */
int judged__process(struct history *h, int64_t process, int64_t unix_ms, size_t top, bool json,
		    FILE *f);

#endif
