/* SPDX-License-Identifier: GPL-2.0-or-later */
/* targets.c - processes come in, get new images, end, and are let go. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"
#include "sys/kernel_release.h"
#include "sys/nofile.h"
#include "sys/pidref.h"
#include "sys/proc_image.h"
#include "sys/proc_task.h"
#include "sys/statm.h"

#define MAX_ENDED 256	 /* of all processes: so many that ended are kept, as they were */
#define BIND_TRIES 16	 /* threads that end one after the other */
#define END_WAITS 1000	 /* ms */
#define LOOKS_SHARE 0.05 /* of the time, at its mappings; and so much at once: */
#define LOOKS_BURST_NS 1000000000ULL
#define SPARE_FILES 48 /* left for probes, for reading /proc and for writing the profile */

void observed__free(struct observer *o, struct observed *t)
{
	if (!t)
		return;
	module_table__put_root(&o->modules, t->root);
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t->pub.cmdline);
	procmem__close(t->memory);
	free(t->maps);
	free(t->probed);
	free(t);
}

bool observed__has_ended(const struct observed *t)
{
	struct pollfd pfd = {.fd = t->pidfd, .events = POLLIN};

	return pfd.fd >= 0 && poll(&pfd, 1, 0) > 0;
}

/* Where its files lie. What has its number after its end is somebody else. */
static void note_root(struct observer *o, struct observed *t)
{
	struct module_root *root = module_table__root(&o->modules, t->pub.pid);
	struct box_target account = box__target(t->pub.pid);

	if (observed__has_ended(t)) {
		module_table__put_root(&o->modules, root);
		return;
	}
	module_table__put_root(&o->modules, t->root);
	t->root = root;
	t->pub.account = account;
}

/* From now on the process has the image that it has at this moment. */
static void note_image(struct observer *o, struct observed *t)
{
	note_root(o, t);
	procmem__close(take_ptr(t->memory));
	if (o->opts.fast && procmem__open(t->pub.pid, &t->memory))
		t->memory = NULL;
	t->image = proc_task__stack_start(t->pub.pid);
}

int observer__gone(const struct target *target)
{
	const struct observed *t = observed_of(target);
	char why[PROC_TASK_WHY];

	if (t->pub.ended || proc_task__check(t->pub.pid, why) == -ESRCH)
		return -ESRCH;
	if (t->memory && !procmem__alive(t->memory))
		return -ESTALE;
	return proc_task__stack_start(t->pub.pid) == t->image ? 0 : -ESTALE;
}

#define MAX_COMMAND 4096

/* Reads command name and line again. */
static void read_names(struct target *t)
{
	char *cmdline = proc_image__command(t->pid, MAX_COMMAND);

	proc_task__comm(t->pid, t->comm, sizeof(t->comm));
	if (!cmdline)
		cmdline = strdup(t->comm);
	if (cmdline) {
		free(t->cmdline);
		t->cmdline = cmdline;
	}
}

static bool thread_gone(pid_t tid)
{
	struct proc_identity id;

	return proc_task__identity(tid, &id) || id.ended;
}

/*
 * Perf events go by the memory of one thread, links for many probes by that of the main thread on
 * kernels before 6.12. 0: the end of no thread matters to the probes.
 */
static pid_t thread_of_probes(const struct observer *o, pid_t pid)
{
	switch (bpfobj__plan(o->obj)->method) {
	case PLAN_SINGLE: return proc_task__shows(pid);
	case PLAN_MULTI: return kernel_release__before(6, 12) ? pid : 0;
	case PLAN_SESSION: break;
	}
	return 0;
}

/* The process is a target whose probes go by a thread that lives, and whose end is told. */
static int bind_thread(struct observer *o, struct observed *t)
{
	int err;

	for (int i = 0; i < BIND_TRIES; i++) {
		t->thread = thread_of_probes(o, t->pub.pid);
		err = proc_probe__add(o->obj, t->pub.pid, t->pub.index, t->thread);
		if (err || !t->thread || !thread_gone(t->thread))
			break;
	}
	return err;
}

/* Is the new image one that could be attached to? observer__error() says why not. */
static void note_support(struct observed *t)
{
	char why[PROC_TASK_WHY];

	t->unsupported = proc_task__check(t->pub.pid, why) == -EOPNOTSUPP;
	if (t->unsupported) {
		t->pub.nmaps = 0;
		observer__set_error("%s", why);
	}
}

/*
 * Probes in files that the new image maps again hold already, from its first instruction. Only when
 * another thread than the leader has called exec do the links belong to a task that is no more.
 */
void observed__exec(struct observer *o, struct observed *t, bool by_thread)
{
	t->pub.images++;
	t->pub.nfast = 0;
	sharers__drop_target(o, t->pub.index);
	t->sharing = t->inherits = t->told_layer = false;
	t->layer = NULL;
	note_image(o, t);
	read_names(&t->pub);
	if ((by_thread || o->opts.fast || t->pub.samples_itself) && o->probe) {
		/* the old ones would count the new image's calls a second time; those on stubs
		 * count nothing any more, and a child may have stubs from now on */
		alloc_probe__detach_target(o->probe, t->pub.index, true);
		rung__renewed(o, t);
		t->nprobed = t->pub.nprobes = t->pub.nfiles = 0;
		bind_thread(o, t);
		t->pub.samples_itself = false;
	}
	note_support(t);
	mappings__scan(o, t);
}

/*
 * Waits for the end of a thread that the kernel has told of: it is told before the thread's memory
 * is let go. False: all threads but one have ended, for an exec, whose own event follows.
 */
static bool wait_for_end(const struct observed *t)
{
	for (int i = 0; i < END_WAITS; i++) {
		uint64_t image = proc_task__stack_start(t->pub.pid);

		if (thread_gone(t->thread))
			return true;
		if (image && image != t->image)
			return false;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return true;
}

void observed__thread_ended(struct observer *o, struct observed *t)
{
	struct observer_event e = {.what = OBSERVER_STOPPED, .target = &t->pub};

	if (t->pub.ended || !o->probe || !t->pub.nprobes || !wait_for_end(t))
		return;
	o->probes_ended++;
	if (bpfobj__plan(o->obj)->method == PLAN_SINGLE) {
		alloc_probe__detach_target(o->probe, t->pub.index, false);
		t->nprobed = t->pub.nprobes = t->pub.nfiles = 0;
		bind_thread(o, t);
		mappings__scan(o, t);
		e.what = OBSERVER_MOVED;
		e.pid = t->thread;
	}
	if (!t->told_thread)
		observer__tell(o, &e);
	t->told_thread = true;
}

void observed__ended(struct observer *o, struct observed *t)
{
	if (t->pub.ended)
		return;
	t->pub.ended = true;
	t->ended_ns = util__now_ns();
	if (o->windows.out && o->heap->targets[t->pub.index].windowed)
		t->unseen_end_ns = t->ended_ns - max_of(o->windows.until_ns, t->pub.start_ns);
	o->nlive--;
	if (t->pidfd >= 0)
		close(t->pidfd); /* out of the epoll set too */
	t->pidfd = -1;
	module_table__put_root(&o->modules, take_ptr(t->root));
	sharers__drop_target(o, t->pub.index);
	rung__forget(o, t);
	observer__forget_live(o, t->pub.index);
	if (o->probe)
		alloc_probe__detach_target(o->probe, t->pub.index, false);
	if (o->unwind)
		unwind_maps__forget_process(o->unwind, t->pub.pid);
	/* The number may be given to another process. */
	proc_probe__remove(o->obj, t->pub.pid);
}

static void free_index(struct observer *o, uint32_t index)
{
	o->freed[o->nfreed].index = index;
	o->freed[o->nfreed++].drained = o->drained;
}

void observer__remove_target(struct observer *o, const struct target *target)
{
	struct observed *t = observed_of(target);
	uint32_t index = target->index;

	bool lived = !t->pub.ended;

	if (lived)
		rung__leave(o, t);
	observed__ended(o, t);
	if (lived && o->probe) /* no probe may run that still has the index */
		alloc_probe__detach_target(o->probe, index, true);
	if (o->probe)
		alloc_probe__thin(o->probe, index, 0);
	if (o->probe && o->heap->targets[index].lost_blocks)
		alloc_probe__forget_target(o->probe, index);
	losses__add_heap(&o->gone, &o->heap->targets[index]);
	losses__add(&o->gone, MW_LOSS_REGIONS_FULL, o->anon->targets[index].lost, 0);
	if (o->faults)
		faults__drop_target(o->faults, index);
	anon__drop_target(o->anon, index);
	heap__drop_target(o->heap, index);
	o->targets[index] = NULL;
	o->count--;
	free_index(o, index);
	observed__free(o, t);
}

int observer__process(const struct target *t, struct pidref *ret)
{
	struct pidref p = {.pid = t->pid, .fd = dup(observed_of(t)->pidfd)};

	if (t->ended || p.fd < 0) {
		pidref__close(&p);
		return -ESRCH;
	}
	*ret = p;
	return 0;
}

int observer__memory(const struct target *t, struct statm *ret)
{
	int err = t->ended ? -ESRCH : statm__read(t->pid, ret);

	if (!err && observed__has_ended(observed_of(t))) /* and nobody has seen it */
		err = -ESRCH;
	if (err)
		memset(ret, 0, sizeof(*ret));
	return err;
}

/* Its end makes the observer's descriptor readable. */
static int watch_end(struct observer *o, struct observed *t)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = t->pub.index};

	t->pidfd = pidref__fd(t->pub.pid);
	t->pub.born_ns = proc_task__start_ns(t->pub.pid);
	if (t->pidfd < 0)
		return t->pidfd == -ESRCH ? -ESRCH : 0; /* its exit is an event, too */
	return epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, t->pidfd, &e) ? -errno : 0;
}

/*
 * An index is given out again when the ring has been read to its end twice since it became free: by
 * then nothing of the process before is on its way. 0; -ENOSPC: none is free.
 */
static int take_index(struct observer *o, uint32_t *ret)
{
	uint64_t counters[MW_C_COUNT];

	if (!o->nfreed || o->drained < o->freed[0].drained + 2) {
		if (o->ntargets >= CALIBRATE_TARGET)
			return -ENOSPC;
		*ret = o->ntargets++;
		return 0;
	}
	*ret = o->freed[0].index;
	o->nfreed--;
	memmove(&o->freed[0], &o->freed[1], o->nfreed * sizeof(o->freed[0]));
	if (!bpfobj__counters(o->obj, *ret, counters) && !bpfobj__clear_counters(o->obj, *ret)) {
		for (int i = 0; i < MW_C_COUNT; i++)
			o->gone_counters[i] += counters[i];
	}
	return proc_probe__new_epoch(o->obj, *ret);
}

static int target_new(struct observer *o, int pid, struct observed **ret)
{
	struct observer_map none = {0};
	struct observed *t;
	int err;

	if (!nofile__room(SPARE_FILES)) {
		observer__set_error("failed to attach to PID %d: too many open files; raise the "
				    "limit (ulimit -n)",
				    pid);
		return -EMFILE;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	err = take_index(o, &t->pub.index);
	if (err) {
		free(t);
		observer__set_error(
			"failed to attach to PID %d: no room for more than %d processes", pid,
			CALIBRATE_TARGET);
		return err;
	}
	none.target = t->pub.index;
	t->pidfd = -1;
	t->pub.pid = pid;
	t->pub.images = 1;
	t->pub.start_ns = util__now_ns();
	if (o->opts.first_rows && proc_task__read(pid, &t->pub.first))
		t->pub.first.tgid = 0;
	allowance__init(&t->looks, LOOKS_SHARE, LOOKS_BURST_NS, t->pub.start_ns);
	t->unseen_before_ns = observer__unseen_ns(o);
	t->pub.start_unix_ms = util__wall_ms();
	err = watch_end(o, t);
	if (!err)
		err = mappings__add(o, &none, &t->anon_map);
	if (err) {
		free_index(o, t->pub.index);
		observed__free(o, t);
		return err;
	}
	*ret = t;
	return 0;
}

static void explain(int pid, int err)
{
	if (err == -ESRCH)
		observer__set_error("PID %d ended while attaching", pid);
	else if (err == -EPERM || err == -EACCES)
		observer__set_error("not permitted to look into PID %d: run as root (sudo), or "
				    "with CAP_SYS_PTRACE",
				    pid);
	else if (err == -EMFILE)
		observer__set_error("failed to attach to PID %d: too many open files; raise the "
				    "limit (ulimit -n)",
				    pid);
}

int targets__add(struct observer *o, int pid, enum target_origin from, const struct target **ret)
{
	char why[PROC_TASK_WHY];
	struct observed *t;
	int err;

	err = proc_task__check(pid, why);
	observer__set_error("%s", why);
	if (err)
		return err;
	pid = proc_task__process(pid);
	err = target_new(o, pid, &t);
	if (err)
		return err;
	t->pub.child = from != TARGET_NAMED;
	t->inherits = t->pub.child;
	o->targets[t->pub.index] = t;
	o->count++;
	o->nlive++;
	err = bind_thread(o, t);
	note_image(o, t); /* of an exec from now on there is an event */
	if (!err) {	  /* again: an exec before it was a target has not been told */
		err = proc_task__check(pid, why);
		observer__set_error("%s", why);
	}
	read_names(&t->pub);
	if (!err)
		err = rung__check(o, t, from);
	if (!err)
		err = mappings__scan(o, t);
	if (err && observer__gone(&t->pub) == -ESRCH) /* whatever it was that failed for it */
		err = -ESRCH;
	if (err) {
		explain(pid, err);
		observer__remove_target(o, &t->pub);
		return err;
	}
	if (from == TARGET_NAMED)
		sharers__find(o, t);
	*ret = &t->pub;
	return 0;
}

bool targets__wanted(const struct observer *o, int pid)
{
	return o->opts.wants && o->opts.wants(o->opts.arg, pid);
}

int observer__add(struct observer *o, int pid, const struct target **ret)
{
	return targets__add(o, pid, TARGET_NAMED, ret);
}

void observer__set_host(struct observer *o, const struct remote_host *host)
{
	o->host = host;
}

void observer__drop_ended(struct observer *o, uint64_t before_ns)
{
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		if (t && t->pub.ended && t->ended_ns < before_ns)
			observer__remove_target(o, &t->pub);
	}
}

void observer__limit_ended(struct observer *o)
{
	while (o->count - o->nlive > MAX_ENDED) {
		struct observed *oldest = NULL;

		for (size_t i = 0; i < o->ntargets; i++) {
			struct observed *t = o->targets[i];

			if (t && t->pub.ended && (!oldest || t->ended_ns < oldest->ended_ns))
				oldest = t;
		}
		observer__remove_target(o, &oldest->pub);
	}
}
