/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tracker.h - what every process looked like in the last minutes, at a price that does not matter:
 * one short read per process and pass, from preallocated memory. It gives a victim that nobody was
 * profiling its timeline, its growth and its command line.
 */
#ifndef OOM_TRACKER_H
#define OOM_TRACKER_H

#include <stdbool.h>

#include "oom/event.h"

#define TRACKER_PROCS 1024
#define TRACKER_INTERVAL_NS 5000000000ULL /* at least, between passes */

struct statm;
struct tracker;

int tracker__new(struct tracker **ret);
void tracker__free(struct tracker *t);

/* One pass over /proc; steady_ms: util__steady_ms(). Allocates nothing. */
void tracker__sample(struct tracker *t, uint64_t now_ns, int64_t steady_ms);
/* When the next pass is due (monotonic): later when passes are costly, so that all of them stay
 * below 0.05 % of a core. */
uint64_t tracker__due(const struct tracker *t);

/* A pass by who knows the sizes of all processes anyway, in place of one over /proc: its offer,
 * which is true when it is wanted by now, its begin, each process, its end. While offers come, none
 * over /proc is due. */
bool tracker__offer(struct tracker *t, uint64_t now_ns);
void tracker__begin(struct tracker *t, uint64_t now_ns, int64_t steady_ms);
void tracker__see(struct tracker *t, uint32_t pid, const struct statm *s);
void tracker__end(struct tracker *t);

/* Fills in e->timeline, its growth, and the victim's command line where it is not known. */
void tracker__describe(struct tracker *t, struct oom_event *e);

/* The largest processes now, straight from /proc. Allocates nothing. Their number. */
size_t tracker__largest(struct tracker *t, struct kmsg_task *tasks, size_t max);

/* Least-squares slope of resident bytes over a timeline, bytes per second; 0 for too few points.
 * Pure. */
double tracker__slope(const struct oom_point *p, size_t n);

#endif
