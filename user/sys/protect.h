/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protect.h - keeps this process working while the machine runs out of memory. */
#ifndef SYS_PROTECT_H
#define SYS_PROTECT_H

/* Locks every page that is, or will be, in memory (not those never touched). 0 or -errno. */
int protect__lock_memory(void);

/* Lowers oom_score_adj to `adj` unless it is lower already. 0 or -errno (-EACCES: not permitted).
 */
int protect__oom_score_adj(int adj);

#endif
