/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.h - `memwatch daemon` while it runs: passes over all processes, profiles, events. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "probe/plan.h"

struct daemon_opts {
	const char *config_path; /* NULL: none, all defaults */
	const char *state_dir;	 /* in place of the file's; NULL: that */
	const char *listen;	 /* in place of the file's; NULL: that */
	uint64_t duration_ns;	 /* 0: until a signal */
	struct plan_tuning tuning;
};

/* Runs to its end with this configuration, which it owns from then on: it is read anew at SIGHUP.
 * An enum mw_exit. */
int daemon__run(const struct daemon_opts *o, struct config *c);

/* Every mistake as "FILE:LINE: what is wrong". */
void daemon__tell_errors(const char *path, const struct config_errors *e);

#endif
