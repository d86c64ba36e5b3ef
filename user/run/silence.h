/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * silence.h - a process whose memory grows while no call of an allocator is seen: that is said
 * once, with what was looked for, what stood in the way, and what to do.
 */
#ifndef RUN_SILENCE_H
#define RUN_SILENCE_H

#include "observe/observer.h"
#include "snapshot/runtimes.h"
#include "sys/proc_status.h"

struct silence {
	struct proc_status first[MW_MAX_TARGETS]; /* at the first look; zeros: not looked at yet */
	bool told[MW_MAX_TARGETS];
};

/* Looks at the targets whose probes have been in for some seconds. */
void silence__look(struct silence *s, const struct observer *o, const struct runtimes *r);

#endif
