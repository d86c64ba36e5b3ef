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

#define COMMAND_NS 30000000000ULL /* a command is ended after that */

struct delivery {
	struct delivery_opts o;
	struct runner *runner; /* NULL: no command */
	struct textbuf summary;
	uint64_t not_run, undelivered;
};

int delivery__new(const struct delivery_opts *o, struct delivery **ret)
{
	struct delivery *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return EXIT_FAILED;
	d->o = *o;
	err = render__reserve(&d->summary);
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
	free(d);
}

void delivery__check(const struct delivery *d)
{
	if (d->o.journal && !journal__runs())
		log_warn("no systemd journal takes messages (/run/systemd/journal/socket): "
			 "%sjournal delivers nothing for now",
			 d->o.prefix);
	if (d->o.syslog && !journal__syslog_runs())
		log_warn("no syslog takes messages (/dev/log): %ssyslog delivers nothing for now",
			 d->o.prefix);
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
	err = runner__start(d->runner, env, json, len);
	if (err && !d->not_run++)
		log_warn("failed to run the command of %s: %s", d->o.on_kill,
			 err == -EBUSY ? "too many of them run already" : strerror(-err));
}

void delivery__kill(struct delivery *d, const struct oom_event *e, const char *json, size_t len)
{
	if (d->o.journal || d->o.syslog) {
		textbuf__reset(&d->summary);
		render__summary(&d->summary, e);
		if ((d->o.journal && journal__send(e, d->summary.text, json)) ||
		    (d->o.syslog && journal__syslog(e, d->summary.text)))
			d->undelivered++;
	}
	if (d->runner)
		run_command(d, e, json, len);
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
	if (d->undelivered)
		log_warn("%" PRIu64 " kill%s that neither journal nor syslog took", d->undelivered,
			 units__s(d->undelivered));
	if (d->not_run)
		log_warn("%" PRIu64 " kill%s without the command of %s", d->not_run,
			 units__s(d->not_run), d->o.on_kill);
}
