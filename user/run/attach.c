/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "elf/symbolizer.h"
#include "observe/faults.h"
#include "snapshot/runtimes.h"
#include "sys/box.h"
#include "sys/privilege.h"

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

/* What the observer has to tell. */
static void on_news(void *arg, const struct observer_event *e)
{
	const struct attach *a = arg;
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
	case OBSERVER_EXEC:
		log__printf(of_all ? LOG_DEBUG : LOG_INFO, "PID %d is now '%s' (exec)", e->pid,
			    e->target->comm);
		break;
	}
}

static int open_parts(struct attach *a, const struct observer_opts *opts)
{
	struct symbolizer_opts sym_opts = {.no_lines = false};
	int err = symbolizer__new(&sym_opts, &a->symbolizer);

	if (!err)
		err = observer__new(opts, &a->observer);
	return err ? err : runtimes__new(a->observer, a->symbolizer, &a->runtimes);
}

int attach__prepare(struct attach_options *o, unsigned kinds)
{
	int err, status = alert_options__start(&o->alert);

	if (status)
		return status;
	box__start(); /* said there if not: then there are no names */
	kinds |= PRIVILEGE(OBSERVE) | PRIVILEGE(FILES) | PRIVILEGE(LIMITS);
	if (o->alert.oom_log)
		kinds |= PRIVILEGE(KERNEL_LOG);
	if (o->faults)
		kinds |= PRIVILEGE(PAGE_FRAMES);
	if (o->tuning.method == PLAN_SINGLE)
		kinds |= PRIVILEGE(PROBES);
	err = privilege__keep(kinds);
	if (!err)
		return EXIT_DONE;
	log_error("failed to give up privileges: %s", strerror(-err));
	return EXIT_FAILED;
}

int attach__open(const struct attach_options *o, struct attach **ret)
{
	struct observer_opts opts = {.sample_bytes = o->sample_bytes,
				     .fast = o->fast,
				     .follow = o->follow,
				     .max_depth = o->max_depth,
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
	opts.tell_arg = a;
	err = open_parts(a, &opts);
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
	if (!t->nprobes)
		log_warn("no allocation functions found in PID %d (%s): only its anonymous "
			 "mappings are profiled%s",
			 t->pid, t->comm, t->nmaps ? " (a static program without symbols?)" : "");
	log_info("attached to PID %d (%s): %zu probes in %zu files, %s, %s", t->pid, t->comm,
		 t->nprobes, t->nfiles,
		 t->nfast ? "on code written into it (--fast)" : observer__method(a->observer),
		 how);
}

int attach__add(struct attach *a, int pid)
{
	const struct target *t;
	int err = observer__add(a->observer, pid, &t);

	if (err) {
		if (observer__error()[0])
			log_error("%s", observer__error());
		else
			log_error("failed to attach to PID %d: %s", pid, strerror(-err));
		return status_of(err);
	}
	if (t->pid != pid)
		log_info("%d is a thread of PID %d: attached to the process", pid, t->pid);
	attach__announce(a, t);
	return EXIT_DONE;
}

int attach__poll(struct attach *a)
{
	int n = observer__poll(a->observer);

	runtimes__tick(a->runtimes);
	return n;
}

int attach__snapshot(struct attach *a, struct snapshot_opts opts, struct profile **ret)
{
	opts.runtimes = a->runtimes;
	return snapshot__take(a->observer, a->symbolizer, &opts, ret);
}
