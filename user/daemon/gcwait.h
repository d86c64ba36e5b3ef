/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gcwait.h - ?gc=1. memwatch starts no garbage collection in a process; the nearest to one is the
 * program's own next, which is waited for a while.
 */
#ifndef DAEMON_GCWAIT_H
#define DAEMON_GCWAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/deep.h"
#include "model/profile.h"

#define GCWAIT_LOOK_NS 50000000ULL /* between looks */

/* All zero: nothing is waited for. */
struct gcwait {
	uint64_t begun_ns, ended_ns; /* CLOCK_MONOTONIC; ended 0: none has so far */
	uint32_t before;	     /* collections at the begin */
};

/* Begins, if the process is a Go program. */
void gcwait__begin(struct gcwait *w, struct deep *d, const struct deep_process *p);
/* Looks; true: to be waited for further. p NULL: it has ended. */
bool gcwait__look(struct gcwait *w, struct deep *d, const struct deep_process *p);
/* Says in a comment what the profile is as of. 0 or -ENOMEM. */
int gcwait__comment(const struct gcwait *w, struct profile *p);

#endif
