/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top_run.h - `memwatch top` while it runs: as text or JSON, or on a terminal. */
#ifndef RUN_TOP_RUN_H
#define RUN_TOP_RUN_H

#include <stdbool.h>

struct top;

/* Both run until a signal, the duration, the last pass, or the end of all that is watched. An enum
 * mw_exit (EXIT_NO_PROCESS: there was none). timeline: the file that SIGUSR1 writes; NULL: none. */
int top_run__text(struct top *t, bool json, const char *timeline);
int top_run__screen(struct top *t, const char *timeline);
/* Writes the timeline. An enum mw_exit, the reason logged. */
int top_run__save(struct top *t, const char *path);

#endif
