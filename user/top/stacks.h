/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stacks.h - which stacks made the memory of the watched processes resident, beside their rows:
 * page faults sampled at a low rate (observe/faults.h).
 */
#ifndef TOP_STACKS_H
#define TOP_STACKS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define STACKS_PERIOD 4096 /* faults to a sample: one stands for 16 MiB of small pages */
#define STACKS_SHOWN 5	   /* as text */

struct plan_tuning;
struct stacks;

/* Starts sampling. 0 or -errno (the message has been given). */
int stacks__new(const uint32_t *pids, size_t n, const struct plan_tuning *tuning,
		struct stacks **ret);
void stacks__free(struct stacks *s);
/* Takes the events that are there; call often. */
void stacks__poll(struct stacks *s);
/* Sums up anew. 0 or -errno. */
int stacks__update(struct stacks *s);

/* Lines of text: a heading, then the stacks by resident bytes, largest first. 0 with nothing to
 * show. */
size_t stacks__lines(const struct stacks *s);
void stacks__line(const struct stacks *s, size_t i, char *buf, size_t len);
/* {"period":…,"lost":…,"stacks":[{"resident_bytes":…,"frames":[…]}]}, innermost frame first; NULL:
 * no memory. */
json_t *stacks__json(const struct stacks *s);

#endif
