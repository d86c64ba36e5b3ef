/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * residency.h - RSS and VIRT beside a heap profile: the timeline of attach and run.
 */
#ifndef RUN_RESIDENCY_H
#define RUN_RESIDENCY_H

#include <stdint.h>

#include "run/attach.h"

struct ledgers;
struct proc_timeline;
struct residency;

/* Starts the timeline if one is asked for; with the lines of the ledgers as they were last read,
 * where they are asked for too (borrowed). 0 or -errno. */
int residency__new(const struct attach_options *opts, const struct attach *a,
		   const struct ledgers *ledgers, struct residency **ret);
void residency__free(struct residency *r);

/* Records a row per process if it is time. */
void residency__tick(struct residency *r, uint64_t now_ns);
/* What it records to, borrowed; NULL: no timeline was asked for. */
struct proc_timeline *residency__timeline(const struct residency *r);
/* Writes the timeline's file. 0 or -errno (logged). */
int residency__save(struct residency *r);

#endif
