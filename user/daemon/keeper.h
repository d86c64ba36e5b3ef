/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keeper.h - what the daemon hands on to the history: passes, profiles, kills, alerts. A history
 * that cannot be written (a full disk) is told once, and again when it can; the daemon goes on.
 */
#ifndef DAEMON_KEEPER_H
#define DAEMON_KEEPER_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/deep.h"
#include "daemon/roster.h"
#include "history/history.h"
#include "top/machine.h"
#include "top/table.h"

struct keeper;

/* Opens the history below dir. A damaged one is moved aside. 0 or -errno, logged. */
int keeper__new(const char *dir, const struct history_opts *o, struct keeper **ret);
void keeper__free(struct keeper *k); /* accepts NULL */

/* All of these accept k NULL: there is no history. */

/* A pass: kept if a second has passed since the last that was. The table is borrowed for as long as
 * the keeper lives. */
void keeper__pass(struct keeper *k, const struct table *t, struct roster *r,
		  const struct machine *m, struct deep *d);
/* A profile; its id, 0: it was not kept. */
int64_t keeper__profile(struct keeper *k, const struct deep_process *p,
			const struct profile *profile, const char *why);
/* Of one that is not profiled; start 0: not known. */
int64_t keeper__stranger(struct keeper *k, struct deep_id id, const char *comm,
			 const struct profile *profile, const char *why);
void keeper__end(struct keeper *k, const struct deep_process *p);
/* kind: as history__event has it. */
void keeper__event(struct keeper *k, const char *kind, int64_t time_unix_ms, uint32_t pid,
		   const char *comm, const char *json, size_t len, int64_t profile);

/* Which of those that had or have a PID: start_ns says which one lives; 0: the last at or before
 * the moment. 0; -ENOENT: it is not kept; -ENOSYS: there is no history; other -errno. */
int keeper__process(struct keeper *k, struct deep_id id, int64_t unix_ms, int64_t *ret_process);
/* The last profile at or before at_ms of the process that keeper__process finds for until_ms. */
int keeper__read_profile(struct keeper *k, struct deep_id id, int64_t until_ms, int64_t at_ms,
			 struct profile **ret);
/* Zeros without a history. */
void keeper__stats(struct keeper *k, struct history_stats *ret);
/* For reading. NULL: there is none. */
struct history *keeper__history(struct keeper *k);

#endif
