/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/delivery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/runner.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/textbuf.h"
#include "core/units.h"
#include "oom/event.h"
#include "oom/journal.h"
#include "oom/render.h"
#include "oom/throttle.h"

#define COMMAND_NS 30000000000ULL /* a command is ended after that */

enum channel { JOURNAL, SYSLOG, CHANNELS };
static const char *const channel_names[] = {[JOURNAL] = "the journal", [SYSLOG] = "syslog"};

struct delivery {
	struct delivery_opts o;
	struct runner *runner; /* NULL: no command */
	struct textbuf summary, room;
	uint64_t not_run, undelivered[CHANNELS];
};

int delivery__new(const struct delivery_opts *o, struct delivery **ret)
{
	struct delivery *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return EXIT_FAILED;
	d->o = *o;
	err = render__reserve(&d->summary);
	if (!err)
		err = render__reserve(&d->room);
	if (!err && o->command)
		err = runner__new(o->command, o->on_kill, COMMAND_NS, &d->runner);
	if (!err) {
		d->o.command = NULL; /* the caller's */
		*ret = d;
		return EXIT_DONE;
	}
	delivery__free(d);
	log_error("the command of %s cannot be run: %s", o->on_kill, strerror(-err));
	return err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

void delivery__free(struct delivery *d)
{
	if (!d)
		return;
	runner__free(d->runner);
	textbuf__free(&d->summary);
	textbuf__free(&d->room);
	free(d);
}

void delivery__check(const struct delivery *d)
{
	int err = d->o.journal ? journal__probe() : 0;

	if (err)
		log_warn("no systemd journal takes messages (/run/systemd/journal/socket: %s): "
			 "%sjournal delivers nothing for now",
			 strerror(-err), d->o.prefix);
	err = d->o.syslog ? journal__probe_syslog() : 0;
	if (err)
		log_warn("no syslog takes messages (/dev/log: %s): %ssyslog delivers nothing for "
			 "now",
			 strerror(-err), d->o.prefix);
}

/* The first failure is told while something can be done about it; the others are counted. */
static void note(struct delivery *d, enum channel c, int err)
{
	if (err && !d->undelivered[c]++)
		log_warn("failed to tell %s: %s; continuing without, what it does not take is "
			 "counted",
			 channel_names[c],
			 err == -EAGAIN ? "it does not read what it is sent" : strerror(-err));
}

/* The facts in the environment and as JSON on standard input; names are cleaned of what could steer
 * a terminal. */
static void run_command(struct delivery *d, const struct oom_event *e, const char *json, size_t len)
{
	char comm[4 * OOM_COMM + 32], pid[48], anon[64], memcg[OOM_PATH + 32], time[64];
	const char *const env[] = {pid, comm, anon, memcg, time, NULL};
	struct textbuf clean = {};
	int err;

	textbuf__plain(&clean, e->victim.comm, "");
	snprintf(pid, sizeof(pid), "MEMWATCH_KILL_PID=%u", e->victim.pid);
	snprintf(comm, sizeof(comm), "MEMWATCH_KILL_COMM=%s", clean.text ? clean.text : "");
	snprintf(anon, sizeof(anon), "MEMWATCH_KILL_ANON_BYTES=%" PRIu64,
		 e->victim.anon_rss_bytes == OOM_UNKNOWN ? 0 : e->victim.anon_rss_bytes);
	textbuf__reset(&clean);
	textbuf__plain(&clean, e->memcg, "");
	snprintf(memcg, sizeof(memcg), "MEMWATCH_KILL_CGROUP=%s",
		 e->memcg[0] && clean.text ? clean.text : "");
	snprintf(time, sizeof(time), "MEMWATCH_KILL_TIME_UNIX_MS=%" PRId64, e->time_unix_ms);
	textbuf__free(&clean);
	err = runner__start(d->runner, runner__whose(0, e->victim.uid, e->memcg), env, json, len);
	if (err && !d->not_run++)
		log_warn("failed to run the command of %s: %s", d->o.on_kill,
			 runner__why(err));
}

void delivery__kill(struct delivery *d, const struct oom_event *e, const char *json, size_t len)
{
	struct journal_news n = {.json = json, .len = len, .room = &d->room};

	textbuf__reset(&d->summary);
	render__summary(&d->summary, e);
	n.summary = d->summary.text;
	if (d->o.journal)
		note(d, JOURNAL, journal__kill(&n, e));
	if (d->o.syslog)
		note(d, SYSLOG, journal__syslog_kill(&n, e));
	if (d->runner)
		run_command(d, e, json, len);
}

void delivery__throttle(struct delivery *d, const struct throttle_event *e, const char *json,
			size_t len)
{
	struct journal_news n = {.json = json, .len = len, .room = &d->room};

	textbuf__reset(&d->summary);
	throttle__summary(&d->summary, e);
	n.summary = d->summary.text;
	if (d->o.journal)
		note(d, JOURNAL, journal__throttle(&n, e));
	if (d->o.syslog)
		note(d, SYSLOG, journal__syslog_throttle(&n, e));
}

void delivery__tick(struct delivery *d)
{
	if (d->runner)
		runner__tick(d->runner);
}

void delivery__finish(struct delivery *d)
{
	if (d->runner)
		runner__finish(d->runner);
}

void delivery__close_books(const struct delivery *d)
{
	for (size_t c = 0; c < CHANNELS; c++) {
		if (d->undelivered[c])
			log_warn("%" PRIu64 " event%s that %s did not take", d->undelivered[c],
				 units__s(d->undelivered[c]), channel_names[c]);
	}
	if (d->not_run)
		log_warn("%" PRIu64 " kill%s without the command of %s", d->not_run,
			 units__s(d->not_run), d->o.on_kill);
}
