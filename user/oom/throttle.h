/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * throttle.h - memory cgroups (version 2) that are held up at memory.high: nothing is killed, the
 * tasks stall, and nobody is told. The group's own counters are looked at: memory.events (high,
 * max) and memory.pressure. One event when it begins, then at most one a minute while it goes on.
 *
 * The whole tree is walked once a minute, the groups that have a memory.high every five seconds. Of
 * a group that came into being between two walks all is told, of others what came since they were
 * met. Memory is fixed; nothing is allocated after throttle__new. What is left out is said, once.
 */
#ifndef OOM_THROTTLE_H
#define OOM_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/textbuf.h"
#include "sys/cgroup.h"

#define THROTTLE_GROUPS 512	  /* with a memory.high */
#define THROTTLE_DIRECTORIES 8192 /* of the tree that are looked at */

struct throttle_event {
	int64_t time_unix_ms;
	char path[CGROUP_PATH];
	uint64_t high_bytes, usage_bytes;
	uint64_t high_cnt, max_cnt; /* times held up at memory.high, at memory.max, in span_ms */
	uint64_t stall_us;	    /* of its tasks for memory in span_ms; UINT64_MAX: not told */
	uint64_t span_ms;
};

struct throttle;

/* 0; -EOPNOTSUPP: no memory controller of version 2; other -errno. */
int throttle__new(const struct cgroup_mounts *m,
		  void (*fn)(void *arg, const struct throttle_event *e), void *arg,
		  struct throttle **ret);
void throttle__free(struct throttle *t);
void throttle__tick(struct throttle *t, uint64_t now_ns, int64_t wall_ms);
uint64_t throttle__due(const struct throttle *t);

/* A line of JSON (schema memwatch.throttle/1), a sentence without newline, and that with its time.
 * 0 or -ENOMEM. */
int throttle__json(struct textbuf *b, const struct throttle_event *e);
int throttle__summary(struct textbuf *b, const struct throttle_event *e);
int throttle__text(struct textbuf *b, const struct throttle_event *e);
/* 0, -EBADMSG, or -ENOMSG: a line of another schema. */
int throttle__parse(const char *line, size_t len, struct throttle_event *ret);

#endif
