/* SPDX-License-Identifier: GPL-2.0-or-later */
/* live_verdicts.h - what the stacks of a run do over time, for its plain reports and its page: each
 * process is looked at with every report. */
#ifndef RUN_LIVE_VERDICTS_H
#define RUN_LIVE_VERDICTS_H

#include <stdio.h>

#include "run/attach.h"

#define JUDGED_PROCESSES 64 /* at most, of those that nothing is reported of */

struct live_verdicts;
struct watch;

/* leak_after_s: of trend__judge. 0 or -ENOMEM. */
int live_verdicts__new(double leak_after_s, struct live_verdicts **ret);
void live_verdicts__free(struct live_verdicts *v); /* accepts NULL */

/* What was seen of a process, for who has a profile of this moment at hand and puts it in. NULL:
 * there is no memory. */
struct watch *live_verdicts__watch(struct live_verdicts *v, const struct target *t);
/* A moment more, of those that nobody has put in since the last time. What cannot be taken is
 * missing then. */
void live_verdicts__look(struct live_verdicts *v, struct attach *a);
/* Those on the stacks of a process (NULL: of all), as recording__verdicts_json, `top` at most. 0 or
 * -errno. */
int live_verdicts__write(const struct live_verdicts *v, struct attach *a, const struct target *t,
			 size_t top, FILE *f);

#endif
