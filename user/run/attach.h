/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach.h - opening an observer and taking processes in, with messages and exit statuses. */
#ifndef RUN_ATTACH_H
#define RUN_ATTACH_H

#include "run/attach_options.h"
#include "observe/observer.h"

/* Loads the programs. EXIT_DONE, or the status to exit with (the message has been given). */
int attach__open(const struct attach_options *o, struct observer **ret);
/* Takes a process in and says so. */
int attach__add(struct observer *s, int pid, const struct attach_options *o);
/* The line "attached to …". */
void attach__announce(struct observer *s, const struct target *t);

#endif
