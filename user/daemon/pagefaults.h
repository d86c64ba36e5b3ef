/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagefaults.h - which stacks made pages resident, of every process of the machine, by a sample of
 * page faults at a low rate: what is known of those that no rule chooses. No probes.
 */
#ifndef DAEMON_PAGEFAULTS_H
#define DAEMON_PAGEFAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/deep.h"
#include "probe/plan.h"

struct loop;
struct losses;
struct observer;
struct pagefaults;
struct profile;

/* One fault in `period` is sampled. 0 or -errno, logged. */
int pagefaults__new(struct loop *l, uint32_t period, const struct plan_tuning *tuning,
		    struct pagefaults **ret);
void pagefaults__free(struct pagefaults *f); /* accepts NULL */

/* Reads samples; at every turn of the loop. NULL is fine. */
void pagefaults__poll(struct pagefaults *f);
/* How long a turn may be, ns: samples come with a wake-up, and now and then their pages are looked
 * at. */
#define PAGEFAULTS_TURN_NS 1000000000ULL

/* Samples that are in no profile, by cause. 0; -ENOSYS: f is NULL; other -errno. */
int pagefaults__losses(const struct pagefaults *f, struct losses *ret);

/* The profile of a process, not of another with its number; pid 0: of all in one; was_killed: as it
 * was before. 0; -ENOENT: nothing of it was sampled; -ENOSYS: f is NULL; other -errno. */
int pagefaults__profile(struct pagefaults *f, struct deep_id id, bool was_killed,
			struct profile **ret);

/* A later owner of the number, or an earlier one whose end is not known yet, is another. NULL: that
 * process is none of the observer's. */
const struct target *pagefaults__find(const struct observer *o, struct deep_id id);

#endif
