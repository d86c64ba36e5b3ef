/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viewer.h - reports handed to other programs of the user's: a pager, a browser. */
#ifndef REPORT_VIEWER_H
#define REPORT_VIEWER_H

#include <stdio.h>

/* Runs the shell's command with what fn writes as its input, and waits for its end. fn's error;
 * -EPIPE (the command read no further) is none. */
int viewer__pipe(const char *command, int (*fn)(FILE *f, void *arg), void *arg);

/* Writes a temporary file and starts the program that shows it: `name` is a command of pprof's
 * ("web", "eog"). The file stays; where there is no program to show it, its name is told. */
int viewer__show(const char *name, const char *ending, int (*fn)(FILE *f, void *arg), void *arg);

#endif
