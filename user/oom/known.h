/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * known.h - the events that a log has of this boot, by their numbers in the kernel's log: so that
 * none is written or listed twice, and nothing is left out behind them.
 */
#ifndef OOM_KNOWN_H
#define OOM_KNOWN_H

#include "oom/event.h"

struct known_event;

/* All 0: nothing is known. */
struct known {
	struct known_event *of;
	size_t n, cap;
	uint64_t last_seq;
	bool has_seq; /* false: none of them has a number */
};

void known__free(struct known *k);

/* Without memory it is not remembered. */
void known__add(struct known *k, const struct oom_event *e);

/* Of an event that the kernel's log tells of. One that the probe alone told of has no number: then
 * a kill of the same task at about that time is the same. */
bool known__has(const struct known *k, const struct oom_event *e);

/* The number in the kernel's log at which it goes on; 0: from its beginning. */
uint64_t known__next_seq(const struct known *k);

/* From one process to another, through a file: all of it, and back; 0 or -errno (-EBADMSG). */
int known__write(const struct known *k, int fd);
int known__read(struct known *k, const void *data, size_t len);

#endif
