/* SPDX-License-Identifier: GPL-2.0-or-later */
/* finer.h - the timeline that a run recorded of a victim, in place of the tracker's coarser one. */
#ifndef OOM_FINER_H
#define OOM_FINER_H

#include "model/timeline.h"
#include "oom/event.h"

#define FINER_SPAN_MS 300000 /* how far back */

/*
 * Replaces e->timeline by the rows of `t` (NULL: nothing happens) from the last FINER_SPAN_MS
 * before the kill: the last half of OOM_POINTS are the newest rows, the others are spread evenly
 * over what is older. The point at the kill itself stays the last. The growth is computed anew.
 * With fewer rows than points that are there, these stay. step_ms: how far the wall clock, which
 * the event's times are of, is ahead of the timeline's. Pure.
 */
void finer__timeline(struct oom_event *e, const struct timeline *t, int64_t step_ms);

#endif
