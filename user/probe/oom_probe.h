/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oom_probe.h - kills as bpf/oom.bpf.c sees them. A BPF object of its own: watching for kills
 * costs nothing else, and works beside a profiling run.
 */
#ifndef PROBE_OOM_PROBE_H
#define PROBE_OOM_PROBE_H

#include <stdint.h>

#include "memwatch/oom.h"

struct oom_probe;

/* What leads to a kill; each is optional, and missing where the kernel lacks its tracepoints. */
enum oom_probe_extra {
	OOM_PROBE_RECLAIM, /* direct reclaim for the machine's sake */
	OOM_PROBE_MEMCG,   /* and for that of a memory cgroup's limit */
	OOM_PROBE_COMPACTION,
	OOM_PROBE_SCORE, /* who writes oom_score_adj */
	OOM_PROBE_EXTRAS,
};

/* Gets every kill; the event is borrowed until it returns. */
typedef void (*oom_probe_fn)(void *arg, const struct mw_ev_oom *ev);

/*
 * Loads and attaches. daemons: names of userspace OOM daemons whose signals count as kills, NULL
 * at the end (at most MW_OOM_DAEMONS). 0; -EPERM (capabilities); other -errno: the kernel refused.
 */
int oom_probe__new(const char *const *daemons, oom_probe_fn fn, void *arg, struct oom_probe **ret);
void oom_probe__free(struct oom_probe *p);

/* Readable when there are events. */
int oom_probe__fd(const struct oom_probe *p);
/* Hands over what is there, without waiting. The number of events or -errno. */
int oom_probe__drain(struct oom_probe *p);
/* 0: it is watched; -errno: why not. */
int oom_probe__extra(const struct oom_probe *p, enum oom_probe_extra which);
/* CLOCK_MONOTONIC nanoseconds since when what leads to a kill is watched. */
uint64_t oom_probe__since_ns(const struct oom_probe *p);
/* One of enum mw_oom_counter. */
uint64_t oom_probe__counter(const struct oom_probe *p, enum mw_oom_counter which);

#endif
