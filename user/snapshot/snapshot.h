/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot.h - from what was observed to a profile: frames get names, weights become counts, and
 * everything that was lost gets its line.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>

#include "model/profile.h"
#include "observe/observer.h"

/* The profile of one target (or of all: NULL) now, with symbols. with_maps: the class of
 * anonymous mappings as samples labelled class=mmap. */
int snapshot__heap(struct observer *s, const struct target *t, bool with_maps,
		   struct profile **ret);

/* The page-fault profile: faulted and resident pages and space. With opts.fault_period only. */
int snapshot__faults(struct observer *s, const struct target *t, struct profile **ret);

/* Names of the target's generated code, opened now if not yet; NULL if there is no such process. */
struct symbolizer_jit *snapshot__jit(struct observer *s, const struct target *t);

#endif
