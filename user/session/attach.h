/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach.h - opening a session and taking processes in, with messages and exit statuses. */
#ifndef SESSION_ATTACH_H
#define SESSION_ATTACH_H

#include "session/attach_options.h"
#include "session/session.h"

/* Loads the programs. EXIT_DONE, or the status to exit with (the message has been given). */
int attach__open(const struct attach_options *o, struct session **ret);
/* Takes a process in and says so. */
int attach__add(struct session *s, int pid, const struct attach_options *o);
/* The line "attached to …". */
void attach__announce(struct session *s, const struct session_target *t);

#endif
