/* SPDX-License-Identifier: GPL-2.0-or-later */
/* target.h - one observed process: its mappings, probes and frames. */
#ifndef OBSERVE_TARGET_H
#define OBSERVE_TARGET_H

#include "observe/observer.h"

void target__free(struct target *t);
/* Reads command name and line again. */
void target__read_names(struct target *t);
/* MW_EV_STACK: gives the stack's frames their ids and its site. */
void target__on_stack(struct observer *s, const void *data, size_t size);
/* The process has a new image. by_thread: another thread than the leader called exec. */
void target__exec(struct observer *s, struct target *t, bool by_thread);
/* The process is gone: its blocks stay in the profile as they were at its end. */
void target__ended(struct observer *s, struct target *t);

void observer__forget_live(struct observer *s, uint32_t target);
void observer__set_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
