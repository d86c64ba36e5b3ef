/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alert.h - watches processes, the control groups with limits that they are in, and the machine
 * with the rules: samples them, and on an alert has a profile saved by the caller, saves a
 * timeline, logs, and runs the command. Each group counts once, however many of its processes are
 * watched. One thread.
 */
#ifndef ALERT_ALERT_H
#define ALERT_ALERT_H

#include "alert/options.h"
#include "oom/jsonlog.h"

#define ALERT_INTERVAL_NS 250000000ULL /* between samples */

struct alert;

/* `log` (borrowed) and `save` may be NULL. Options are borrowed. 0 or -errno; *ret_why then says
 * what is wrong. */
int alert__new(const struct alert_options *o, struct jsonlog *log, alert_save_fn save, void *arg,
	       struct alert **ret, const char **ret_why);
void alert__free(struct alert *a);
/* Goes on with other options of the same directory; borrowed. What fires by a rule that they do not
 * have is over. */
void alert__use(struct alert *a, const struct alert_options *o);
/* Whatever fires is over: nobody looks any more. */
void alert__drop(struct alert *a);

/* Starts and ends the watch over a process. start_ns: CLOCK_BOOTTIME, as in pidref__open; 0:
 * whoever has the PID now. 0, also for one that is watched; -ESRCH: it has ended; other -errno. */
int alert__add(struct alert *a, int pid, uint64_t start_ns, const char *comm);
void alert__remove(struct alert *a, int pid);
/* Ends it over all that `lives` does not say to live. */
void alert__keep(struct alert *a, bool (*lives)(void *arg, int pid), void *arg);

enum alert_look { ALERT_UNWATCHED, ALERT_WATCHED, ALERT_FIRING };
/* How a process is looked at; ALERT_FIRING: a rule of its own fires. */
enum alert_look alert__look(const struct alert *a, int pid);
/* Whether there is anything to sample now. */
bool alert__is_busy(const struct alert *a);

struct alert_numbers {
	uint64_t told; /* beginnings so far */
	size_t firing; /* whom it fires for now, told or not */
};
void alert__numbers(const struct alert *a, enum alert_rule rule, struct alert_numbers *ret);

/* Samples when it is time; cheap otherwise. Call often. */
void alert__tick(struct alert *a);
/* Waits for commands that run, at most their timeout. */
void alert__finish(struct alert *a);

#endif
