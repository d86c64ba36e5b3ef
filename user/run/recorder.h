/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recorder.h - what attach and run keep while they watch: the recording (--record) and the
 * profiles at the moments of the highest in-use and of the highest RSS (--peak, --peak-rss).
 */
#ifndef RUN_RECORDER_H
#define RUN_RECORDER_H

#include <stdint.h>

#include "run/attach.h"
#include "snapshot/ledgers.h"

struct recorder;

/* ledgers: for the profiles of peaks, if ledgers are asked for; borrowed. 0 or -errno (logged). */
int recorder__new(const struct attach_options *opts, struct attach *a, struct ledgers *ledgers,
		  struct recorder **ret);
void recorder__free(struct recorder *r);
/* Looks at the heap and at RSS; cheap unless there is a new peak or a recording is due. */
void recorder__tick(struct recorder *r, uint64_t now_ns);
/* The last entry of the recording, the files of the peaks. 0 or -errno (logged). */
int recorder__save(struct recorder *r);

#endif
