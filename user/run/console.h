/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console.h - stdout and stderr of a run that measures meanwhile: reports and messages are written
 * by threads of their own (sys/sender.h), so that a terminal that is stopped or a pipe that nobody
 * reads costs reports, never events.
 */
#ifndef RUN_CONSOLE_H
#define RUN_CONSOLE_H

#include <stdint.h>
#include <stdio.h>

struct console;

/* From now on messages (core/log.h) go through it. One at a time. 0 or -errno. */
int console__new(struct console **ret);
/* Waits until all is written, or until the end is asked for (again). NULL is fine. */
void console__free(struct console *c);

/* A stream for one report; NULL: it is not to be made, since the one before is not written yet (on
 * a terminal) or a lot is (elsewhere). */
FILE *console__begin(struct console *c);
/* The same for a line of a series: it is left out only where a lot waits. */
FILE *console__begin_line(struct console *c);
/* Hands the report over. 0, -EPIPE (nobody reads any more), or what else went wrong. Frees f. */
int console__end(struct console *c, FILE *f);
/* Reports left out since the last that was handed over. */
uint64_t console__dropped(const struct console *c);
/* What writing to stdout failed with so far; 0: nothing; -EPIPE: nobody reads any more, which is a
 * reason to end, not to complain. */
int console__error(struct console *c);
/* Waits until all reports are written, or until the end is asked for (again). */
void console__flush(struct console *c);

#endif
