/* SPDX-License-Identifier: GPL-2.0-or-later */
/* target.h - one observed process inside a session: its mappings, probes and frames. */
#ifndef SESSION_TARGET_H
#define SESSION_TARGET_H

#include "session/session.h"

void target__free(struct session_target *t);
/* Reads command name and line again. */
void target__read_names(struct session_target *t);
/* MW_EV_STACK: gives the stack's frames their ids and its site. */
void target__on_stack(struct session *s, const void *data, size_t size);
/* The process has a new image. by_thread: another thread than the leader called exec. */
void target__exec(struct session *s, struct session_target *t, bool by_thread);
/* The process is gone: its blocks stay in the profile as they were at its end. */
void target__ended(struct session *s, struct session_target *t);

void session__forget_live(struct session *s, uint32_t target);
void session__set_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
