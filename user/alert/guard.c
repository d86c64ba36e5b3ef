/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/guard.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/alert.h"
#include "alert/kept_files.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "oom/finer.h"
#include "oom/jsonlog.h"
#include "oom/oom_record.h"
#include "oom/render.h"
#include "oom/oom_watch.h"
#include "observe/faults.h"
#include "format/output.h"
#include "probe/proc_timeline.h"
#include "sys/boot.h"
#include "sys/outfile.h"
#include "sys/protect.h"

#define KILL_GRACE_NS 150000000ULL /* a target ended: a kill's record may still be on its way */

struct guard {
	const struct alert_options *o;
	struct observer *observer; /* NULL: processes are added by guard__add */
	guard_profile_fn profile;
	void *profile_arg;
	struct proc_timeline *timeline; /* NULL: no finer timeline */
	struct jsonlog *log;
	struct oom_watch *watch;
	struct alert *alert;
	struct textbuf line;
	char boot_id[40];
};

static const struct target *find_target(const struct guard *g, int pid)
{
	return g->observer ? observer__find(g->observer, pid) : NULL;
}

/* The target that was killed: not an ended one whose pid another process has by now. */
static const struct target *find_victim(struct guard *g, const struct oom_proc *victim)
{
	const struct target *t = find_target(g, (int)victim->pid);
	uint64_t boot, mono;

	if (!t || !victim->start_ns)
		return t;
	boot = util__boot_ns();
	mono = util__now_ns();
	/* A target runs before it is added. */
	return victim->start_ns > t->start_ns + (boot - mono) ? NULL : t;
}

static int save_profile(void *arg, int pid, const char *base, char *ret, size_t size)
{
	struct guard *g = arg;
	const struct target *t = find_target(g, pid);
	struct profile *p = NULL;
	int err;

	if (!t)
		return -ESRCH;
	snprintf(ret, size, "%s.pb.gz", base);
	err = g->profile(g->profile_arg, t, &p);
	if (!err)
		err = output__write(p, ret);
	profile__free(p);
	return err;
}

/* A kill, of a target or of anybody else. */
static void on_kill(void *arg, struct oom_event *e)
{
	struct guard *g = arg;
	const struct target *t = find_victim(g, &e->victim);
	char base[OOM_PATH - 16], name[OOM_PATH];
	int err;

	memcpy(e->boot_id, g->boot_id, sizeof(e->boot_id));
	if (g->timeline)
		finer__timeline(e, proc_timeline__of(g->timeline, (int)e->victim.pid),
				proc_timeline__step_ms(g->timeline));
	if (t) {
		if (observer__faults(g->observer))
			faults__at_death(observer__faults(g->observer), t->index);
		kept_files__make_room(g->o->dir, "oom-#", g->o->keep);
		snprintf(base, sizeof(base), "%s/memwatch-oom-%u-%" PRId64, g->o->dir,
			 e->victim.pid, e->time_unix_ms);
		err = save_profile(g, e->victim.pid, base, name, sizeof(name));
		if (err)
			log_warn("failed to save the profile of the OOM victim %u: %s",
				 e->victim.pid, outfile__strerror(err));
		else
			snprintf(e->profile, sizeof(e->profile), "%s", name);
		log_warn("PID %u (%s) was killed: out of memory%s%s%s%s", e->victim.pid,
			 e->victim.comm, e->memcg[0] ? ", limit of cgroup " : "", e->memcg,
			 e->profile[0] ? "; its profile at death is in " : "", e->profile);
	}
	textbuf__reset(&g->line);
	err = render__json(&g->line, e);
	if (!err)
		err = jsonlog__write(g->log, g->line.text, g->line.len);
	if (err)
		log_error("failed to write to '%s': %s", g->o->oom_log, outfile__strerror(err));
}

static int start_watch(struct guard *g)
{
	struct watch_options o = {.no_tracker = false, .from_seq = OOM_UNKNOWN};
	int probe_err = 0, kmsg_err = 0;
	int err = jsonlog__open(g->o->oom_log, &g->log);

	if (err) {
		log_error("failed to open '%s': %s", g->o->oom_log, outfile__strerror(err));
		return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	boot__id(g->boot_id);
	if (render__reserve(&g->line))
		return EXIT_FAILED;
	err = oom_watch__new(&o, on_kill, g, &g->watch, &probe_err, &kmsg_err);
	if (err) {
		log_error("failed to watch for OOM kills: %s", strerror(-err));
		return EXIT_UNSUPPORTED;
	}
	if (protect__oom_score_adj(-999))
		log_info("not permitted to lower its own oom_score_adj: memwatch itself may be "
			 "chosen "
			 "by the OOM killer; continuing");
	return 0;
}

int guard__new(const struct alert_options *o, struct observer *observer, guard_profile_fn profile,
	       void *arg, struct guard **ret)
{
	const char *why;
	struct guard *g;
	int err, status = 0;

	*ret = NULL;
	if (!o->oom_log && !rules__any(&o->rules))
		return 0;
	g = calloc(1, sizeof(*g));
	if (!g)
		return EXIT_FAILED;
	g->o = o;
	g->observer = observer;
	g->profile = profile;
	g->profile_arg = arg;
	if (o->oom_log)
		status = start_watch(g);
	if (!status) {
		err = alert__new(o, g->log, observer ? save_profile : NULL, g, &g->alert, &why);
		if (err) {
			log_error("%s: %s", why, strerror(-err));
			status = err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
		}
	}
	if (status) {
		guard__free(g);
		return status;
	}
	*ret = g;
	return 0;
}

void guard__use_timeline(struct guard *g, struct proc_timeline *t)
{
	if (g)
		g->timeline = t;
}

int guard__add(struct guard *g, int pid, const char *comm)
{
	int err = alert__add(g->alert, pid, 0, comm);

	return err == -ESRCH ? 0 : err; /* there is nothing to say of it */
}

void guard__remove(struct guard *g, int pid)
{
	alert__remove(g->alert, pid);
}

void guard__free(struct guard *g)
{
	if (!g)
		return;
	alert__free(g->alert);
	oom_watch__free(g->watch);
	jsonlog__close(g->log);
	textbuf__free(&g->line);
	free(g);
}

/* Targets end, are let go, and their numbers are given to others. */
static bool lives(void *arg, int pid)
{
	const struct target *t = find_target(arg, pid);

	return t && !t->ended;
}

/* What there was to say of those that have ended is over. */
static void keep_targets(struct guard *g)
{
	if (g->observer)
		alert__keep(g->alert, lives, g);
}

void guard__tick(struct guard *g)
{
	if (!g)
		return;
	for (const struct target *t = g->observer ? observer__next(g->observer, NULL) : NULL; t;
	     t = observer__next(g->observer, t)) {
		if (!t->ended)
			alert__add(g->alert, t->pid, t->born_ns, t->comm);
	}
	keep_targets(g);
	alert__tick(g->alert);
	if (!g->watch)
		return;
	oom_watch__run(g->watch);
	if (jsonlog__waiting(g->log))
		jsonlog__retry(g->log);
}

/* The kernel's kills are few, and so are words of what is missing: said where there is something.
 */
static void close_books(const struct oom_watch *w)
{
	char lost[WATCH_LOST];
	struct watch_stats s;

	oom_watch__stats(w, &s);
	if (*oom_watch__lost(&s, true, lost))
		log_warn("missing in what is told of OOM kills: %s", lost);
}

void guard__finish(struct guard *g)
{
	uint64_t end = util__now_ns() + KILL_GRACE_NS;

	if (!g)
		return;
	while (g->watch && util__now_ns() < end) {
		struct pollfd fd = {.fd = oom_watch__fd(g->watch), .events = POLLIN};

		poll(&fd, 1, 20);
		oom_watch__run(g->watch);
	}
	if (g->watch) {
		oom_watch__flush(g->watch);
		close_books(g->watch);
	}
	/* what is the end of this run may be that of its target, too */
	keep_targets(g);
	alert__finish(g->alert);
}
