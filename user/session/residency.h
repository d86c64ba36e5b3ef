/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * residency.h - RSS and VIRT beside a heap profile: the timeline and the ledger of attach and run.
 */
#ifndef SESSION_RESIDENCY_H
#define SESSION_RESIDENCY_H

#include <stdint.h>

#include "model/ledger.h"
#include "model/timeline.h"
#include "session/attach_options.h"
#include "session/session.h"

struct residency;

/* Starts the timeline if one is asked for. 0 or -errno. */
int residency__new(const struct attach_options *opts, struct session *s, struct residency **ret);
void residency__free(struct residency *r);

/* When residency__tick is due next, CLOCK_MONOTONIC ns; UINT64_MAX: never. */
uint64_t residency__due(const struct residency *r);
/* Records a row per process if it is time. */
void residency__tick(struct residency *r, uint64_t now_ns);
/* What was recorded of a process, borrowed until the next tick; NULL: nothing. */
const struct timeline *residency__timeline(const struct residency *r, int pid);
/* How far the wall clock is by now from the timeline's, which never steps. */
int64_t residency__step_ms(const struct residency *r);
/* Writes the timeline's file. 0 or -errno (logged). */
int residency__save(struct residency *r);

/* The ledger of a target with its live heap, as of now: reads the events that are there, then walks
 * the heap (about 0.2 s per GiB; a large one only once the session is frozen, the ledger says so).
 * from_start: nothing is older than the profile. 0, -ESRCH when it has ended, other -errno. */
int residency__ledger(struct session *s, const struct session_target *t, bool from_start,
		      struct ledger *ret);

#endif
