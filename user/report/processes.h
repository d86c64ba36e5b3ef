/* SPDX-License-Identifier: GPL-2.0-or-later */
/* processes.h - profiles of several processes: which there are (the samples' labels "pid" and
 * "comm"), and what one of them has. */
#ifndef REPORT_PROCESSES_H
#define REPORT_PROCESSES_H

#include "model/profile.h"

#define PROCESSES_MAX 1024

struct process {
	uint32_t pid;
	const char *comm;   /* borrowed from the profile; "" unknown */
	double inuse_bytes; /* of its samples; 0 where that is no value of the profile */
};

/* Of a sample; 0: it is labelled with none. */
uint32_t processes__of(const struct profile *p, const struct profile_sample *s);

/* Fills in at most PROCESSES_MAX, those with the most in use first. Their number. */
size_t processes__list(const struct profile *p, struct process *ret);

/* Leaves the samples of one process. 0; -ENOENT: the profile has none of it. */
int processes__keep(struct profile *p, uint32_t pid);

#endif
