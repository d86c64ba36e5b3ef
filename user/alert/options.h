/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - the --alert-* options, --on-alert and --oom-log as an argp parser that attach, run,
 * top and daemon include as a child. */
#ifndef ALERT_OPTIONS_H
#define ALERT_OPTIONS_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/rules.h"

struct alert_options {
	struct rules rules;
	const char *command;   /* of --on-alert; NULL: none */
	struct runner *runner; /* of it, from alert_options__start on */
	uint64_t timeout_ns, cooldown_ns;
	size_t keep;	     /* alerts of a rule, and kills, whose files are kept; 0: all */
	const char *dir;     /* where profiles and timelines of alerts are saved */
	const char *tag;     /* in their names, with a '-' behind it: "" or whose they are */
	const char *oom_log; /* NULL: none */
	/* Each alert as it is told, one JSON object; NULL: nobody else is told. */
	void (*told)(void *arg, const char *json, size_t len);
	void *told_arg;
};

/*
 * Saves the profile of a process to a file whose name is `base` and an ending of the caller's
 * choice; writes the name to ret. 0 or -errno (then the alert has no profile).
 */
typedef int (*alert_save_fn)(void *arg, int pid, const char *base, char *ret, size_t size);

void alert_options__init(struct alert_options *o);

/* Forks the process that runs the command: before privileges are given up. EXIT_DONE, or the status
 * to exit with (the message has been given). */
int alert_options__start(struct alert_options *o);
/* Can what alerts write be written? What cannot is said. 0 or -errno. */
int alert_options__check_files(const struct alert_options *o);
/* Ends what still runs of it. */
void alert_options__clear(struct alert_options *o);

/* Its input is struct alert_options. */
extern const struct argp alert_options_argp;

#endif
