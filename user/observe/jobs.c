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

static void follow(struct observer *o, const struct mw_ev_proc *ev)
{
	struct observer_event e = {.what = OBSERVER_CHILD, .pid = ev->pid, .parent = ev->parent};
	struct share sh = {.o = o};
	const struct target *child;
	int err = targets__add(o, ev->pid, true, &child);

	if (err) {
		missed_child(o, ev, err);
		return;
	}
	e.target = child;
	e.ns = o->children_held ? 0 : util__now_ns() - ev->hdr.time_ns;
	o->heap->targets[child->index].follow_gap_ns = e.ns;
	observer__tell(o, &e);
	heap__fork(o->heap, ev->hdr.target, child->index);
	anon__fork(o->anon, ev->hdr.target, child->index);
	sh.child = child->index;
	if (o->probe && o->opts.sample_bytes > 1)
		livemap__each(&o->heap->live, share_block, &sh);
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
	observer__tell(o, &e);
}

static void on_stack(struct observer *o, struct observed *t)
{
	if (t && !t->pub.ended)
		mappings__scan(o, t);
	frames__on_stack(o, &o->job.ev.stack, o->job.size, true);
}

/* Of a process that was no target when it was sampled. */
static void on_foreign_stack(struct observer *o)
{
	const struct target *t = faults__adopt(o->faults, o->job.ev.stack.pid);

	if (!t)
		return;
	o->job.ev.hdr.target = t->index;
	if (frames__on_stack(o, &o->job.ev.stack, o->job.size, false) == -EAGAIN)
		on_stack(o, observed_of(t));
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
	case JOB_EXEC: on_exec(o, t, &j->ev.proc); break;
	case JOB_END: observed__ended(o, t); break;
	case JOB_RESCAN: mappings__scan(o, t); break;
	case JOB_STACK:
		if (j->ev.hdr.target == MW_STRANGER)
			on_foreign_stack(o);
		else
			on_stack(o, t);
		break;
	case JOB_FAULT: faults__foreign_event(o->faults, &j->ev.fault); break;
	}
}
