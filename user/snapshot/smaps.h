/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smaps.h - /proc/PID/smaps and what goes with it, parsed.
 */
#ifndef SNAPSHOT_SMAPS_H
#define SNAPSHOT_SMAPS_H

#include <sys/types.h>

#include "model/ledger.h"

/*
 * Reads the mappings with their resident parts, the thread stacks and the kernel's totals of the
 * same moment: up to three times, until RSS was the same before and after. Free with smaps__free.
 * 0; -ESRCH: no such process, or it ended meanwhile; -EACCES: not ours to read; other -errno.
 */
int smaps__read(pid_t pid, struct ledger_input *ret);
void smaps__free(struct ledger_input *in);

#endif
