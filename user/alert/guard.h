/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guard.h - alerts and OOM kills of a run: on an alert, and when a target is killed, its profile
 * is saved while memwatch still has it. Does nothing at all without --alert-… and --oom-log.
 */
#ifndef ALERT_GUARD_H
#define ALERT_GUARD_H

#include "alert/options.h"
#include "observe/observer.h"

struct guard;
struct proc_timeline;
struct profile;

/* Makes the profile of a target as of now. 0 or a negative errno. */
typedef int (*guard_profile_fn)(void *arg, const struct target *t, struct profile **ret);

/* observer NULL: no profiles, the processes are those of guard__add. *ret is NULL if no option asks
 * for it. 0 or an exit status (enum mw_exit), the reason logged. */
int guard__new(const struct alert_options *o, struct observer *observer, guard_profile_fn profile,
	       void *arg, struct guard **ret);
void guard__free(struct guard *g);
/* Kills are told with the timeline that is recorded there (NULL: none); borrowed. A NULL guard is
 * fine. */
void guard__use_timeline(struct guard *g, struct proc_timeline *t);
/* Without an observer: processes to watch, by the rules. 0 or -ENOMEM. */
int guard__add(struct guard *g, int pid, const char *comm);
void guard__remove(struct guard *g, int pid);

/* Samples and reads what has happened; call at every turn of the loop. NULL is fine. */
void guard__tick(struct guard *g);

/* After the last event was read: reports kills that are still on their way, waits for commands. */
void guard__finish(struct guard *g);

#endif
