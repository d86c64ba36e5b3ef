/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobs.c - what an event asks for beyond a change of the model: looks at processes, probes.
 *
 * The reader of the ring copies the event and stops; the work is done, then reading goes on. So
 * each job finds the model as it was at its event. Work that need not be done at once (tables of
 * unwind information) is handed on by the job to whoever does it in the background.
 */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "observe/observer_priv.h"

int observer__queue(struct observer *o, enum job_kind kind, const void *data, size_t size)
{
	o->job.kind = kind;
	o->job.size = min_of(size, sizeof(o->job.ev));
	memcpy(o->job.ev.bytes, data, o->job.size);
	o->has_job = true;
	return -EAGAIN;
}

/* The kernel must know which live blocks a followed child has, or it would not report their frees.
 */
struct share {
	struct observer *o;
	uint32_t child;
};

static void share_block(void *arg, const struct livemap_block *b)
{
	struct share *sh = arg;

	if (b->key >> MW_ADDR_BITS == sh->child)
		alloc_probe__remember(sh->o->probe, b->key, b->size);
}

static void missed_child(struct observer *o, const struct mw_ev_proc *ev, int err)
{
	struct observer_event e = {
		.what = OBSERVER_CHILD_MISSED, .pid = ev->pid, .parent = ev->parent, .err = err};

	if (err == -ESRCH)
		o->children_gone++;
	else
		o->children_missed++;
	observer__tell(o, &e);
}

/* A forked child has a copy of its parent's blocks, whose frees are news from now on. */
static void inherit(struct observer *o, uint32_t parent, uint32_t child)
{
	struct share sh = {.o = o, .child = child};

	heap__fork(o->heap, parent, child);
	anon__fork(o->anon, parent, child);
	if (o->probe && o->opts.sample_bytes > 1)
		livemap__each(&o->heap->live, share_block, &sh);
}

static void follow(struct observer *o, const struct mw_ev_proc *ev)
{
	bool chosen = targets__wanted(o, ev->pid);
	struct observer_event e = {.what = OBSERVER_CHILD, .pid = ev->pid, .parent = ev->parent};
	const struct observed *parent = observer__of(o, ev->hdr.target);
	enum target_origin from = !parent || !parent->nfast ? TARGET_FORKED
				  : ev->hdr.kind	    ? TARGET_SHARING
							    : TARGET_STUBBED;
	const struct target *child;
	int err;

	if (!chosen && !o->opts.follow) {
		if (ev->hdr.kind && parent)
			sharers__forked(o, parent, (int)ev->pid, ev->hdr.time_ns);
		return;
	}
	err = targets__add(o, ev->pid, from, &child);
	if (err) {
		missed_child(o, ev, err);
		return;
	}
	observed_of(child)->pub.chosen = chosen && !o->opts.follow;
	/* One of vfork has no copy of anything, nor one that has called exec since. */
	if (!ev->hdr.kind && parent && observed_of(child)->image == parent->image)
		inherit(o, ev->hdr.target, child->index);
	e.target = child;
	e.ns = o->children_held ? 0 : util__now_ns() - ev->hdr.time_ns;
	o->heap->targets[child->index].follow_gap_ns = e.ns;
	observer__tell(o, &e);
}

/* Is it still meant, with its new image? */
static bool stays(struct observer *o, struct observed *t)
{
	struct observer_event e = {.what = OBSERVER_LEFT, .target = &t->pub, .pid = t->pub.pid};

	if (!t->pub.chosen || t->pub.ended || targets__wanted(o, t->pub.pid))
		return true;
	observer__tell(o, &e);
	observer__remove_target(o, &t->pub);
	return false;
}

static void on_exec(struct observer *o, struct observed *t, const struct mw_ev_proc *ev)
{
	struct observer_event e = {.what = OBSERVER_EXEC, .target = &t->pub, .pid = t->pub.pid};

	if (o->faults)
		faults__clear_target(o->faults, t->pub.index);
	observer__forget_live(o, t->pub.index);
	heap__clear_target(o->heap, t->pub.index);
	anon__clear_target(o->anon, t->pub.index);
	observed__exec(o, t, ev->parent != ev->pid);
	if (!stays(o, t))
		return;
	observer__tell(o, &e);
	if (!t->unsupported)
		return;
	e.what = OBSERVER_UNSUPPORTED;
	observer__tell(o, &e);
	observer__set_error("%s", "");
}

static void on_copy(struct observer *o, struct observed *t)
{
	if (t && frames__on_copy(o, &o->job.ev.copy, o->job.size, false) == -EAGAIN) {
		if (!t->pub.ended)
			mappings__look(o, t, o->job.ev.hdr.time_ns);
		frames__on_copy(o, &o->job.ev.copy, o->job.size, true);
	}
}

void observer__choose_again(struct observer *o)
{
	for (size_t i = 0; i < o->ntargets; i++) {
		if (o->targets[i])
			stays(o, o->targets[i]);
	}
}

void observer__choose(struct observer *o, int pid)
{
	struct observer_event e = {.what = OBSERVER_CAME, .pid = pid};
	const struct target *t = observer__find(o, pid);

	if (t && !t->ended)
		return;
	e.err = targets__add(o, pid, TARGET_NAMED, &t);
	if (e.err) {
		e.what = OBSERVER_UNREACHED;
	} else {
		observed_of(t)->pub.chosen = true;
		e.target = t;
	}
	observer__tell(o, &e);
}

static void on_stack(struct observer *o, struct observed *t)
{
	if (t && !t->pub.ended)
		mappings__look(o, t, o->job.ev.hdr.time_ns);
	frames__on_stack(o, &o->job.ev.stack, o->job.size, true);
}

/* Of a process that was no target when it was sampled. */
static void on_foreign_stack(struct observer *o)
{
	const struct target *t =
		faults__adopt(o->faults, o->job.ev.stack.pid, o->job.ev.stack.hdr.time_ns);

	if (!t)
		return;
	o->job.ev.hdr.target = t->index;
	if (frames__on_stack(o, &o->job.ev.stack, o->job.size, false) == -EAGAIN)
		on_stack(o, observed_of(t));
}

/* Another program, or another process. */
static void on_coming(struct observer *o, int pid)
{
	if (targets__wanted(o, pid))
		observer__choose(o, pid);
}

void observer__work(struct observer *o)
{
	struct job *j = &o->job;
	struct observed *t = observer__of(o, j->ev.hdr.target);

	if (!o->has_job)
		return;
	o->has_job = false;
	switch (j->kind) {
	case JOB_FOLLOW: follow(o, &j->ev.proc); break;
	case JOB_SHARER:
		sharers__gone(o, (int)j->ev.proc.pid);
		if (j->ev.hdr.kind) /* by exec; else it has ended */
			on_coming(o, (int)j->ev.proc.pid);
		break;
	case JOB_CAME: on_coming(o, (int)j->ev.proc.pid); break;
	case JOB_EXEC: on_exec(o, t, &j->ev.proc); break;
	case JOB_END: observed__ended(o, t); break;
	case JOB_THREAD_END: observed__thread_ended(o, t); break;
	case JOB_RESCAN: mappings__look(o, t, j->ev.hdr.time_ns); break;
	case JOB_COPY: on_copy(o, t); break;
	case JOB_STACK:
		if (j->ev.hdr.target == MW_STRANGER)
			on_foreign_stack(o);
		else
			on_stack(o, t);
		break;
	case JOB_FAULT: faults__foreign_event(o->faults, &j->ev.fault); break;
	}
}
