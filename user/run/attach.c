/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/util.h"
#include "elf/symbolizer.h"
#include "go/go_program.h"
#include "observe/faults.h"
#include "probe/layers.h"
#include "snapshot/runtimes.h"
#include "sys/box.h"
#include "sys/chooser.h"
#include "sys/filer.h"
#include "sys/memreader.h"
#include "sys/opener.h"
#include "sys/privilege.h"
#include "sys/proc_task.h"
#include "sys/signals.h"

/* Most that match are told of when they begin; who is moved to a group later is found by looking.
 */
#define LOOK_AGAIN_NS 5000000000ULL
/* The record of a kill may still be on its way to who has ended. */
#define KEEP_ENDED_NS 2000000000ULL
#define BEGINS_NS 1000000000ULL

static int status_of(int err)
{
	switch (err) {
	case -ESRCH:
	case -ENOENT: return EXIT_NO_PROCESS;
	case -EPERM:
	case -EACCES:
	case -EOPNOTSUPP:
	case -ENOSYS: return EXIT_UNSUPPORTED;
	}
	return EXIT_FAILED;
}

/* Is announced once it has probes and all its files were read, or at that time. */
static void announce_later(struct attach *a, const struct target *t, uint64_t until_ns)
{
	if (array_reserve(a->beginning, a->beginning_cap, a->n_beginning + 1))
		attach__announce(a, t);
	else
		a->beginning[a->n_beginning++] = (struct attach_beginning){t->pid, until_ns};
}

static void on_came(struct attach *a, const struct target *t)
{
	a->came++;
	a->waits = false;
	if (!t->nprobes && !observer__opts(a->observer)->faults_only)
		announce_later(a, t, util__now_ns() + BEGINS_NS);
	else
		attach__announce(a, t);
}

void attach__announce_when_read(struct attach *a, const struct target *t)
{
	runtimes__tick(a->runtimes); /* what is a runtime's own is known from now on */
	if (t->is_read_on && !t->nprobes)
		announce_later(a, t, 0);
	else
		attach__announce(a, t);
}

/* Says of those that came what they have by now. */
static void announce_beginning(struct attach *a)
{
	uint64_t now = a->n_beginning ? util__now_ns() : 0;
	size_t n = 0;

	for (size_t i = 0; i < a->n_beginning; i++) {
		const struct target *t = observer__find(a->observer, a->beginning[i].pid);

		if (t && !t->ended && !t->nprobes &&
		    (t->is_read_on || now < a->beginning[i].until_ns))
			a->beginning[n++] = a->beginning[i];
		else if (t)
			attach__announce(a, t);
	}
	a->n_beginning = n;
}

/* One that matched is not in: said once, the rest is counted. */
static void on_unreached(struct attach *a, const struct observer_event *e)
{
	const char *why = observer__error()[0] ? observer__error() : strerror(-e->err);

	if (e->err == -ESRCH)
		return; /* it has ended already */
	log__printf(a->unreached++ ? LOG_DEBUG : LOG_WARN,
		    "PID %d matches, but: %s; continuing without it", e->pid, why);
}

/* What the observer has to tell. */
static void on_news(void *arg, const struct observer_event *e)
{
	struct attach *a = arg;
	bool of_all = a->observer && observer__opts(a->observer)->faults_all;

	switch (e->what) {
	case OBSERVER_FP_STACKS:
		log_warn("stacks follow frame pointers: this kernel cannot unwind by table (%s)",
			 strerror(-e->err));
		break;
	case OBSERVER_CHILD:
		log_info("attached to child %d of %d (%s), %.1f ms after its fork", e->pid,
			 e->parent, e->target->comm, (double)e->ns / 1e6);
		break;
	case OBSERVER_CHILD_MISSED:
		if (e->err != -ESRCH && observer__children_missed(a->observer) == 1)
			log_warn("failed to follow child %d of %d: %s; continuing without it",
				 e->pid, e->parent,
				 observer__error()[0] ? observer__error() : strerror(-e->err));
		log_debug("child %d of %d not followed: %s", e->pid, e->parent, strerror(-e->err));
		break;
	case OBSERVER_NOT_FAST:
		log_warn("no fast mode for PID %d, %s; uprobes instead", e->target->pid,
			 observer__error());
		break;
	case OBSERVER_ANEW:
		log_info("PID %d has loaded an allocator over the one that was sampled inside: "
			 "in-use begins anew",
			 e->target->pid);
		break;
	case OBSERVER_SAMPLES_ITSELF:
		log_info("PID %d %s: in-use begins anew", e->target->pid,
			 e->target->samples_itself
				 ? "samples its allocations itself from now on"
				 : "no longer samples its allocations itself and is probed");
		break;
	case OBSERVER_UNPROBED:
		log_warn("%s PID %d (%s), whose main thread has ended, are not seen: attach to it "
			 "alone to see them",
			 e->target->nprobes ? "further allocators of" : "the allocators of",
			 e->target->pid, e->target->comm);
		break;
	case OBSERVER_MOVED:
		log_warn("PID %d (%s): the thread that its probes went by has ended; they go by "
			 "thread %d now, and what happened in between was not seen",
			 e->target->pid, e->target->comm, e->pid);
		break;
	case OBSERVER_STOPPED:
		log_warn("PID %d (%s): its main thread has ended, and with it the probes on this "
			 "kernel (before 6.12): attach again to see what its other threads "
			 "allocate",
			 e->target->pid, e->target->comm);
		break;
	case OBSERVER_UNSUPPORTED: log_warn("%s", observer__error()); break;
	case OBSERVER_CAME: on_came(a, e->target); break;
	case OBSERVER_LEFT:
		log_info("PID %d (%s) does not match any more: it is let go", e->pid,
			 e->target->comm);
		break;
	case OBSERVER_UNREACHED: on_unreached(a, e); break;
	case OBSERVER_FILES_GONE: snapshot__close_files(a->observer, a->symbolizer); break;
	case OBSERVER_EXEC:
		log__printf(of_all ? LOG_DEBUG : LOG_INFO, "PID %d is now '%s' (exec)", e->pid,
			    e->target->comm);
		break;
	}
}

static bool wants(void *arg, int pid)
{
	const struct attach *a = arg;

	return chooser__means(a->selector, pid);
}

static int choose(void *arg, pid_t pid)
{
	const struct attach *a = arg;

	observer__choose(a->observer, pid);
	return 0;
}

static void tell_none(struct attach *a)
{
	cleanup_free char *what = selector__text(a->selector);

	if (a->waits || observer__living(a->observer))
		return;
	log_info("no process matches %s%s: waiting", what ? what : "",
		 a->came ? " any more" : " now");
	a->waits = true;
}

void attach__choose(struct attach *a)
{
	uint64_t now = util__now_ns();

	if (!a->selector)
		return;
	if (now >= a->look_ns) {
		chooser__each(a->selector, choose, a);
		observer__choose_again(a->observer);
		a->look_ns = util__now_ns() + LOOK_AGAIN_NS;
	}
	if (observer__living(a->observer))
		observer__drop_ended(a->observer, now - min_of(now, KEEP_ENDED_NS));
	tell_none(a);
}

static int open_parts(struct attach *a, const struct observer_opts *opts)
{
	struct symbolizer_opts sym_opts = {.no_lines = false};
	int err = symbolizer__new(&sym_opts, &a->symbolizer);

	if (!err)
		err = observer__new(opts, &a->observer);
	return err ? err : runtimes__new(a->observer, a->symbolizer, &a->runtimes);
}

/* The kernel's links for many probes go by the memory of a process's main thread: where that has
 * ended before others they find none. */
static void prefer_single(struct attach_options *o)
{
	for (size_t i = 0; i < o->npids; i++) {
		pid_t pid = proc_task__process(o->pids[i]);

		if (proc_task__shows(pid) != pid)
			o->tuning.method = PLAN_SINGLE;
	}
}

/* A Go program whose heap profile is off, and that has no C allocator either. */
static bool go_without_profile(pid_t pid)
{
	char why[GO_WHY_LEN];
	struct go_program *t;
	bool without;

	if (go_program__open_started(pid, &t, why))
		return false;
	without = !go_program__facts(t)->cgo && go_program__profiling_off(t);
	go_program__close(t);
	return without;
}

/* Where every target has no profile to read, page faults tell what it touches. */
static void prefer_faults(struct attach_options *o)
{
	for (size_t i = 0; i < o->npids; i++) {
		if (!go_without_profile(proc_task__process(o->pids[i])))
			return;
	}
	if (!o->npids || o->faults || o->fast)
		return;
	o->faults = o->faults_for_go = true;
	log_warn("%s heap profile is off: page faults are sampled instead, as with --faults (what "
		 "is touched, by stack); 'memwatch go -p %d --go-enable-memprofile' switches the "
		 "heap profile on in the program",
		 o->npids > 1 ? "the targets are Go programs whose"
			      : "the target is a Go program whose",
		 o->pids[0]);
}

int attach__prepare(struct attach_options *o, unsigned kinds)
{
	int err, status;

	kinds |= PRIVILEGE(OBSERVE) | PRIVILEGE(LIMITS) | filer__start(true);
	opener__start(layers__are_ours);
	memreader__start();
	status = alert_options__start(&o->alert);
	if (status)
		return status;
	box__start(); /* said there if not: then there are no names */
	if (o->alert.oom_log)
		kinds |= PRIVILEGE(KERNEL_LOG);
	if (o->allow_signals)
		kinds |= PRIVILEGE(SIGNAL) | PRIVILEGE(NICE);
	/* what is seen of the targets decides on two more */
	err = privilege__keep(kinds | PRIVILEGE(PAGE_FRAMES) | PRIVILEGE(PROBES));
	if (!err) {
		prefer_single(o);
		prefer_faults(o);
		kinds |= o->faults ? PRIVILEGE(PAGE_FRAMES) : 0;
		kinds |= o->tuning.method == PLAN_SINGLE ? PRIVILEGE(PROBES) : 0;
		err = privilege__keep(kinds);
	}
	if (!err) {
		signals__watch();
		return attach_options__check_files(o) ? EXIT_FAILED : EXIT_DONE;
	}
	log_error("failed to give up privileges: %s", strerror(-err));
	return EXIT_FAILED;
}

int attach__open(const struct attach_options *o, struct attach **ret)
{
	struct observer_opts opts = {.sample_bytes = o->sample_bytes,
				     .fast = o->fast,
				     .follow = o->follow,
				     .max_depth = o->max_depth,
				     .first_rows = o->timeline || o->http,
				     .patience_ns = o->patience_ns,
				     .tuning = o->tuning};
	const char *refusal = observer__refusal();
	struct attach *a;
	int err;

	if (refusal) {
		log_error("%s", refusal);
		return EXIT_UNSUPPORTED;
	}
	if (o->faults) {
		opts.fault_period = o->fault_period ? o->fault_period : FAULTS_DEFAULT_PERIOD;
		opts.faults_only = true;
		opts.faults_all = o->faults_all;
		opts.no_mmap = o->faults_all; /* the system calls of all would pay */
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return EXIT_FAILED;
	opts.tell = on_news;
	opts.arg = a;
	a->selector = o->selector;
	if (o->selector)
		opts.wants = wants;
	progress__begin("loading the probes");
	err = open_parts(a, &opts);
	progress__end();
	if (!err) {
		*ret = a;
		return EXIT_DONE;
	}
	log_error("failed to load: %s", observer__error()[0] ? observer__error() : strerror(-err));
	attach__close(a);
	return status_of(err);
}

void attach__close(struct attach *a)
{
	if (!a)
		return;
	runtimes__free(a->runtimes);
	observer__free(a->observer);
	symbolizer__free(a->symbolizer);
	free(a->beginning);
	free(a);
}

static void announce_go(const struct target *t, const char *version, bool cgo)
{
	log_info("attached to PID %d (%s, %s%s): the runtime's own heap profile%s", t->pid, t->comm,
		 version, cgo ? ", cgo" : "", cgo ? ", and the C allocator's by probes" : "");
}

void attach__announce(struct attach *a, const struct target *t)
{
	const struct observer_opts *opts = observer__opts(a->observer);
	char rate[UNITS_LEN], how[64];
	const char *version;
	bool cgo;

	runtimes__tick(a->runtimes); /* what is a runtime's own is known from now on */
	if (opts->faults_only) {
		log_info("attached to PID %d (%s): one page fault in %u is sampled", t->pid,
			 t->comm, opts->fault_period);
		return;
	}
	if (opts->sample_bytes > 1)
		snprintf(how, sizeof(how), "one sample per %s",
			 units__size(rate, sizeof(rate), opts->sample_bytes));
	else
		snprintf(how, sizeof(how), "every allocation");
	version = runtimes__go_version(a->runtimes, t, &cgo);
	if (version)
		announce_go(t, version, cgo);
	if (version && !cgo)
		return;
	if (!t->nprobes && runtimes__go_begins(a->runtimes, t)) {
		log_info("attached to PID %d (%s), a Go program that is being started: the "
			 "runtime's own heap profile",
			 t->pid, t->comm);
		return;
	}
	if (!t->nprobes && !observer__gone(t))
		log_warn("no allocation functions found in PID %d (%s): only its anonymous "
			 "mappings are profiled%s",
			 t->pid, t->comm, t->nmaps ? " (a static program without symbols?)" : "");
	log_info("attached to PID %d (%s): %zu probe%s in %zu file%s, %s, %s", t->pid, t->comm,
		 t->nprobes, units__s(t->nprobes), t->nfiles, units__s(t->nfiles),
		 t->samples_itself ? "of its own sampler (USDT otel_memory)"
		 : t->nfast	   ? "on code written into it (--fast)"
				   : observer__method(a->observer),
		 t->samples_itself ? "weights as it gives them" : how);
}

int attach__add(struct attach *a, int pid)
{
	const struct target *t;
	int err;

	progress__begin("attaching to PID %d", pid); /* messages take it away */
	err = observer__add(a->observer, pid, &t);
	if (!err) {
		if (t->pid != pid)
			log_info("%d is a thread of PID %d: attached to the process", pid, t->pid);
		attach__announce(a, t);
	}
	progress__end();
	if (!err)
		return EXIT_DONE;
	if (observer__error()[0])
		log_error("%s", observer__error());
	else
		log_error("failed to attach to PID %d: %s", pid, strerror(-err));
	return status_of(err);
}

int attach__poll(struct attach *a)
{
	int n = observer__poll(a->observer);

	announce_beginning(a);
	runtimes__tick(a->runtimes);
	if (!observer__opts(a->observer)->faults_only)
		silence__look(&a->silence, a->observer, a->runtimes);
	return n;
}

int attach__snapshot(struct attach *a, struct snapshot_opts opts, struct profile **ret)
{
	opts.runtimes = a->runtimes;
	return observer__opts(a->observer)->faults_only
		       ? snapshot__faults(a->observer, a->symbolizer, &opts, ret)
		       : snapshot__heap(a->observer, a->symbolizer, &opts, ret);
}
