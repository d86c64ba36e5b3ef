/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * events.h - OOM kills, groups held up at memory.high and alerts of the daemon: written to
 * DIR/oom.jsonl, with the profile of the process where it is profiled, and handed on. Of the
 * processes that an alert chooses the largest and those that grow fastest are watched.
 */
#ifndef DAEMON_EVENTS_H
#define DAEMON_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/alert.h"
#include "daemon/config.h"
#include "daemon/deep.h"
#include "daemon/roster.h"
#include "oom/oom_watch.h"

struct events;
struct loop;
struct oom_event;
struct profile;
struct throttle_event;

struct events_opts {
	const struct config *config; /* borrowed until events__reload */
	struct deep *deep;
	struct loop *loop;
	struct delivery *delivery; /* who is told of kills; borrowed */
	/* What happened, one JSON object each; p: NULL, or the process as it is profiled. A kill
	 * may be an OOM without a victim. May be NULL. */
	void (*killed)(void *arg, const struct oom_event *e, const char *json, size_t len,
		       const struct deep_process *p);
	void (*alarmed)(void *arg, const char *json, size_t len);
	void (*throttled)(void *arg, const struct throttle_event *e, const char *json, size_t len);
	/* The process with this PID that was started then; start 0: that the last pass saw. */
	struct deep_id (*whose)(void *arg, uint32_t pid, uint64_t start_ns);
	/* What is known of a process that is not profiled: 0 and its profile, or -errno. May be
	 * NULL. */
	int (*stranger)(void *arg, struct deep_id id, bool was_killed, struct profile **ret);
	void *arg;
};

/* 0 or -errno, logged. A machine whose kills cannot be seen is no failure: that is said. */
int events__new(const struct events_opts *o, struct events **ret);
void events__free(struct events *e); /* accepts NULL */
/* With other alerts; 0 or -errno, logged, with the former still in force. A section of the same
 * name goes on with what it knows, whatever its thresholds are now. */
int events__reload(struct events *e, const struct config *c);

/* A pass: each process that an alert may watch; and, after the last, who is watched by which. */
void events__consider(struct events *e, struct roster_entry *r, const struct table_proc *p);
void events__watch(struct events *e);
/* And what the timeline of a victim will need of it. */
void events__sizes(struct events *e, const struct table *t);
void events__gone(struct events *e, const struct roster_entry *r);
/* Whether an alert looks at a process. */
bool events__watches(const struct events *e, uint32_t pid);
/* At every turn of the loop. */
void events__poll(struct events *e);
uint64_t events__turn_ns(const struct events *e);
/* The last words on what is still on its way. */
void events__finish(struct events *e);

struct events_stats {
	uint64_t kills, alerts;		/* alerts: beginnings told */
	uint64_t victimless, throttles; /* OOMs without a victim; times held up at memory.high */
	size_t waiting;			/* lines that a full disk refused */
	uint64_t lost;
	char lost_of_kills[WATCH_LOST]; /* what is missing in what is told of them; "": nothing */
};
void events__stats(const struct events *e, struct events_stats *ret);

struct events_section {
	const char *name; /* borrowed until events__reload */
	size_t left_out;  /* processes that are chosen, and too small to be watched */
	struct {
		const char *name; /* NULL: the section has no such rule */
		struct alert_numbers numbers;
	} rule[ALERT_RULES];
};
/* [alert] section i; false: there is none. */
bool events__section(const struct events *e, size_t i, struct events_section *ret);

#endif
