/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chosen.h - the processes that top watches beyond showing them (alerts, timeline, stacks): those
 * of -p, and whoever matches a selector now and later.
 */
#ifndef TOP_CHOSEN_H
#define TOP_CHOSEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/guard.h"
#include "sys/selector.h"

struct table;
struct proc_timeline;
struct top_stacks;
struct chosen;

struct chosen_opts {
	const uint32_t *pids; /* of -p */
	size_t npids;
	const struct selector *selector; /* who else is watched; NULL: none */
	const struct alert_options *alert;
	bool is_screen; /* messages on stderr would spoil it */
};

/* What the options point to is borrowed. An enum mw_exit. */
int chosen__new(const struct chosen_opts *opts, struct chosen **ret);
/* Says the last alerts. NULL is fine. */
void chosen__free(struct chosen *c);

/* After each pass over the table: marks the rows that match, begins and ends watching them. The
 * timeline and the stacks may be NULL. 0 or -ENOMEM. */
int chosen__update(struct chosen *c, struct table *table, struct proc_timeline *timeline,
		   struct top_stacks *stacks);
/* Alerts, and the ends of processes; call often. */
void chosen__poll(struct chosen *c);
bool chosen__has_alerts(const struct chosen *c);
/* There were none, not one time. */
bool chosen__never(const struct chosen *c);

#endif
