/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shell.h - pprof's interactive mode: commands about one profile, line by line. This half has the
 * profile, in a process without privileges (sys/apart.h); shell_front.h has the terminal. */
#ifndef REPORT_SHELL_H
#define REPORT_SHELL_H

#include "report/settings.h"

/* Until "quit" or the end of input. p is prepared (open__prepare) and stays as it is; settings are
 * those to begin with; people: the lines are typed. 0; -EINVAL: a command failed, where nobody
 * types. */
int shell__run(const struct profile *p, struct settings *settings, bool people);

/* Hands what fn writes to the other half, with a word of shell_front.h. fn's error, or the other
 * half's. */
int shell__give(const char *word, int (*fn)(FILE *f, void *arg), void *arg);

#endif
