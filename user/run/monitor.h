/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor.h - the loop of attach and run: events, reports, signals, the end, the outputs.
 */
#ifndef RUN_MONITOR_H
#define RUN_MONITOR_H

#include <sys/types.h>

#include "run/attach.h"

struct monitor;
struct live_page;

int monitor__new(const struct attach_options *opts, struct attach *a, struct monitor **ret);
void monitor__free(struct monitor *m);

/*
 * Runs until a signal, the duration, or the end of all targets; then takes the probes out, writes
 * the outputs and closes the books. The exit status (enum mw_exit).
 */
int monitor__run(struct monitor *m);
/* fn is called from the loop when fd is readable, and with NULL when it never is any more; set before
 * monitor__run. 0 or -errno. */
int monitor__serve(struct monitor *m, int fd, void (*fn)(void *arg, struct attach *a), void *arg);
/* A page that shows it (borrowed; NULL: none); set before monitor__run. */
void monitor__show(struct monitor *m, struct live_page *page);
/* The signal that ended the loop, 0 if none did. */
int monitor__signal(const struct monitor *m);

#endif
