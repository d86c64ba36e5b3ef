/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sharers.c - processes that run in the memory of a target and are no threads of it (clone with
 * CLONE_VM alone, vfork until exec). Their blocks are the target's: they lie in its address space,
 * and either may free them. Links of Linux 6.12 and later go by the threads of one process, so such
 * a one has links of its own, with the target's index. Those of kernels before go by the memory.
 *
 * Nearly all are vfork's or posix_spawn's and call exec at once, having allocated nothing. Probes for
 * those would cost their parents more than they could tell, so one must have lived for a moment.
 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"
#include "sys/kernel_release.h"
#include "sys/proc_task.h"

#define MOMENT_NS 30000000ULL
#define MAX_SHARERS 256 /* of all targets */

static void add(struct observer *o, uint32_t target, pid_t pid, uint64_t since_ns)
{
	if (o->nsharers == MAX_SHARERS || array_reserve(o->sharers, o->sharers_cap, o->nsharers + 1)) {
		o->sharers_unseen++;
		return;
	}
	o->sharers[o->nsharers++] =
		(struct sharer){.pid = pid, .target = target, .since_ns = since_ns};
}

static void drop(struct observer *o, size_t i)
{
	struct sharer s = o->sharers[i];

	o->sharers[i] = o->sharers[--o->nsharers];
	if (!s.probed)
		return;
	proc_probe__remove_sharer(o->obj, s.pid, s.target);
	alloc_probe__detach_process(o->probe, s.target, s.pid);
}

void sharers__forked(struct observer *o, const struct observed *t, pid_t pid, uint64_t ns)
{
	if (o->probe && !t->pub.ended)
		add(o, t->pub.index, pid, ns);
}

struct sharer_search {
	struct observer *o;
	const struct observed *t;
	pid_t thread;
};

static int on_process(void *arg, pid_t pid)
{
	const struct sharer_search *s = arg;

	if (pid != s->t->pub.pid && proc_task__shares(s->thread, pid) > 0)
		add(s->o, s->t->pub.index, pid, 0);
	return 0;
}

void sharers__find(struct observer *o, struct observed *t)
{
	struct sharer_search s = {o, t, proc_task__shows(t->pub.pid)};

	if (o->probe && proc_task__shares(s.thread, s.thread) > 0)
		proc_task__each_pid(on_process, &s);
	sharers__look(o);
}

static bool links_go_by_memory(const struct observer *o)
{
	return bpfobj__plan(o->obj)->method == PLAN_SINGLE || kernel_release__before(6, 12);
}

int sharers__attach_module(struct observer *o, const struct observed *t, const struct module *m)
{
	int first_err = 0;

	for (size_t i = 0; i < o->nsharers && !links_go_by_memory(o); i++) {
		const struct sharer *s = &o->sharers[i];
		size_t n;
		int err = s->target != t->pub.index || !s->probed
				  ? 0
				  : mappings__probe(o, t, s->pid, m, &n);

		first_err = first_err ? first_err : err;
	}
	return first_err;
}

/* All that the target has. */
static int probe(struct observer *o, struct observed *t, struct sharer *s)
{
	int err = proc_probe__add_sharer(o->obj, s->pid, t->pub.index);

	if (err || links_go_by_memory(o))
		return err;
	alloc_probe__expect_sharers(o->probe);
	err = rung__attach_sharer(o, t, s->pid);
	for (size_t i = 0; i < t->nprobed && !err; i++) {
		const struct module *m = t->probed[i];
		size_t n;

		if (t->pub.samples_itself)
			err = alloc_probe__attach_usdt(o->probe, s->pid, t->pub.index, m->fd,
						       m->usdt, m->nusdt);
		else if (!rung__has_stubs(t, m) && !(o->windows.out && observed__in_windows(o, t)))
			err = mappings__probe(o, t, s->pid, m, &n);
	}
	return err;
}

/* False: it is gone, or has an address space of its own by now. */
static bool look_at(struct observer *o, struct sharer *s)
{
	struct observed *t = observer__of(o, s->target);
	int err;

	if (!t || t->pub.ended ||
	    proc_task__shares(proc_task__shows(t->pub.pid), s->pid) <= 0)
		return false;
	o->sharers_unseen += s->since_ns != 0; /* what it did so far */
	s->probed = true;
	err = probe(o, t, s);
	if (err)
		log_warn("PID %d runs in the memory of PID %d, and what it allocates there is not "
			 "seen: %s",
			 s->pid, t->pub.pid, strerror(-err));
	else
		log_info("PID %d runs in the memory of PID %d: what it allocates is counted there",
			 s->pid, t->pub.pid);
	if (err && !s->since_ns)
		o->sharers_unseen++;
	return true;
}

void sharers__look(struct observer *o)
{
	uint64_t now = o->nsharers ? util__now_ns() : 0;

	for (size_t i = 0; i < o->nsharers;) {
		struct sharer *s = &o->sharers[i];

		if (s->probed || now - s->since_ns < MOMENT_NS || look_at(o, s))
			i++;
		else
			drop(o, i);
	}
}

void sharers__gone(struct observer *o, pid_t pid)
{
	for (size_t i = 0; i < o->nsharers; i++) {
		if (o->sharers[i].pid == pid) {
			drop(o, i);
			return;
		}
	}
}

void sharers__drop_target(struct observer *o, uint32_t target)
{
	for (size_t i = 0; i < o->nsharers;) {
		if (o->sharers[i].target == target)
			drop(o, i);
		else
			i++;
	}
}
