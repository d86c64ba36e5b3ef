/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alert.h - watches processes with the rules: samples them, and on an alert has a profile saved by
 * the caller, saves a timeline, logs, and runs the command. One thread.
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

/* Starts and ends the watch over a process. 0, -ENOMEM. Adding one twice is no error. */
int alert__add(struct alert *a, int pid, const char *comm);
void alert__remove(struct alert *a, int pid);
/* Ends it over all that `lives` does not say to live. */
void alert__keep(struct alert *a, bool (*lives)(void *arg, int pid), void *arg);

/* Samples when it is time; cheap otherwise. Call often. */
void alert__tick(struct alert *a);
/* Waits for commands that run, at most their timeout. */
void alert__finish(struct alert *a);

#endif
