/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * top_stacks.h - which stacks made the memory of the watched processes resident, beside their rows:
 * page faults sampled at a low rate (observe/faults.h).
 */
#ifndef TOP_TOP_STACKS_H
#define TOP_TOP_STACKS_H

#include <jansson.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STACKS_PERIOD 4096 /* faults to a sample: one stands for 16 MiB of small pages */
#define STACKS_SHOWN 5	   /* as text */

struct plan_tuning;
struct top_stacks;

/* Starts sampling; more_come: there may be none yet. 0 or -errno (the message has been given). */
int top_stacks__new(const uint32_t *pids, size_t n, bool more_come,
		    const struct plan_tuning *tuning, struct top_stacks **ret);
/* One more process; nothing of those that have ended is kept. */
void top_stacks__add(struct top_stacks *s, pid_t pid);
void top_stacks__free(struct top_stacks *s);
/* Takes the events that are there; call often. */
void top_stacks__poll(struct top_stacks *s);
/* Sums up anew. 0 or -errno. */
int top_stacks__update(struct top_stacks *s);

/* Lines of text: a heading, then the stacks by resident bytes, largest first. 0 with nothing to
 * show. */
size_t top_stacks__lines(const struct top_stacks *s);
void top_stacks__line(const struct top_stacks *s, size_t i, char *buf, size_t len);
/* {"period":…,"lost":…,"stacks":[{"resident_bytes":…,"frames":[…]}]}, innermost frame first; NULL:
 * no memory. */
json_t *top_stacks__json(const struct top_stacks *s);

#endif
