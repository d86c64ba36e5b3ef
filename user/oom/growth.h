/* SPDX-License-Identifier: GPL-2.0-or-later */
/* growth.h - how a victim came to what it held, in one line of the report. Pure. */
#ifndef OOM_GROWTH_H
#define OOM_GROWTH_H

#include <stddef.h>

#include "core/textbuf.h"
#include "oom/event.h"

/* Points in the order of their times; with fewer than two, or no time between them, nothing. */
void growth__text(struct textbuf *b, const struct oom_point *p, size_t n);

#endif
