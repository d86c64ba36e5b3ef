/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * goroutines.h - the goroutine profile, read from outside: every goroutine of runtime.allgs with
 * its state and stack. Parked goroutines (the ones that leak) have the stacks that runtime/pprof
 * shows; one that runs while it is looked at has no readable stack: its start function stands for
 * it, under the pseudo-frame "[running]".
 */
#ifndef GO_GOROUTINES_H
#define GO_GOROUTINES_H

#include "go/go_target.h"
#include "model/profile.h"

#include <stdint.h>
#include <stdio.h>

struct go_goroutines_count {
	uint64_t user, system; /* as runtime.NumGoroutine counts: user */
	uint64_t running;      /* of the user ones: without a readable stack */
	uint64_t unreadable;   /* stacks that could not be followed to their root */
};

/*
 * Counts only: cheap enough for every tick of a timeline. 0; -ENOENT: runtime.allgs was not found
 * (a stripped program of an unusual compiler); other negative errno.
 */
int go_goroutines__count(const struct go_target *t, struct go_goroutines_count *ret);

/* The profile: sample type goroutine/count, label "state". 0 or a negative errno as above. */
int go_goroutines__profile(const struct go_target *t, struct profile **ret,
			   struct go_goroutines_count *ret_count);
/* The sample type of such a profile. 0 or -ENOMEM. */
int go_goroutines__set_types(struct profile *p);

#endif
