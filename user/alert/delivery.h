/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * delivery.h - who is told of an OOM kill beside the log: the systemd journal, syslog, a command
 * (MEMWATCH_KILL_* in its environment, the kill as JSON on its standard input); of a group that is
 * held up at memory.high: journal and syslog.
 */
#ifndef ALERT_DELIVERY_H
#define ALERT_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct delivery;
struct oom_event;
struct throttle_event;

struct delivery_opts {
	bool journal, syslog;
	const char *command;	      /* NULL: none */
	const char *on_kill, *prefix; /* how the options are written: "--on-kill", "--" */
};

/* Forks the process that runs the command: before privileges are given up. An exit status; the
 * message has been given. */
int delivery__new(const struct delivery_opts *o, struct delivery **ret);
void delivery__free(struct delivery *d); /* accepts NULL; ends what still runs */

/* Warns of whom nobody listens for. */
void delivery__check(const struct delivery *d);
/* A kill (or an OOM without a victim), and the same as a line of JSON. Nothing waits for who is
 * told. The first that one of them does not take is said at once, the others are counted. */
void delivery__kill(struct delivery *d, const struct oom_event *e, const char *json, size_t len);
void delivery__throttle(struct delivery *d, const struct throttle_event *e, const char *json,
			size_t len);
/* Collects what ended, ends what takes too long. Call now and then. */
void delivery__tick(struct delivery *d);
/* Waits for what runs, at most its timeout. */
void delivery__finish(struct delivery *d);
/* Says what was not delivered. */
void delivery__close_books(const struct delivery *d);

#endif
