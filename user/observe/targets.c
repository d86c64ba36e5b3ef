/* SPDX-License-Identifier: GPL-2.0-or-later */
/* targets.c - processes come in, get new images, end, and are let go. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"
#include "sys/nofile.h"
#include "sys/proc_task.h"
#include "sys/statm.h"

#define MAX_ENDED 256  /* of all processes: so many that ended are kept, as they were */
#define SPARE_FILES 48 /* left for probes, for reading /proc and for writing the profile */

void observed__free(struct observed *t)
{
	if (!t)
		return;
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t->pub.cmdline);
	free(t->maps);
	free(t->probed);
	free(t);
}

/* Reads command name and line again. */
static void read_names(struct target *t)
{
	cleanup_free char *comm = NULL;
	char path[64], *cmdline = NULL;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", t->pid);
	n = util__read_file(path, 64, &comm);
	if (n > 0) {
		comm[n - 1] = 0; /* the last newline; a name may hold others */
		snprintf(t->comm, sizeof(t->comm), "%s", comm);
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", t->pid);
	n = util__read_file(path, 4096, &cmdline);
	if (n <= 0) {
		free(cmdline);
		cmdline = strdup(t->comm);
	}
	for (ssize_t i = 0; cmdline && i < n - 1; i++) {
		if (!cmdline[i])
			cmdline[i] = ' ';
	}
	if (cmdline) {
		free(t->cmdline);
		t->cmdline = cmdline;
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
	read_names(&t->pub);
	if ((by_thread || t->nfast) && o->probe) {
		/* the old ones would count the new image's calls a second time; those on stubs
		 * count nothing any more */
		alloc_probe__detach_target(o->probe, t->pub.index, true);
		rung__forget(t);
		t->nprobed = t->pub.nprobes = t->pub.nfiles = 0;
	}
	mappings__scan(o, t);
}

void observed__ended(struct observer *o, struct observed *t)
{
	if (t->pub.ended)
		return;
	t->pub.ended = true;
	t->ended_ns = util__now_ns();
	o->nlive--;
	if (t->pidfd >= 0)
		close(t->pidfd); /* out of the epoll set too */
	t->pidfd = -1;
	rung__forget(t);
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
	observed__free(t);
}

int observer__memory(const struct target *t, struct statm *ret)
{
	struct pollfd pfd = {.fd = observed_of(t)->pidfd, .events = POLLIN};
	int err = t->ended ? -ESRCH : statm__read(t->pid, ret);

	if (!err && pfd.fd >= 0 && poll(&pfd, 1, 0) > 0) /* it has ended, and nobody has seen it */
		err = -ESRCH;
	if (err)
		memset(ret, 0, sizeof(*ret));
	return err;
}

/* Value of a line "Name:\tVALUE" of /proc/PID/status. */
static long status_value(int pid, const char *name)
{
	cleanup_free char *text = NULL;
	char path[64], *line;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (util__read_file(path, 65536, &text) <= 0)
		return -1;
	line = strstr(text, name);
	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

/* Its end makes the observer's descriptor readable. */
static int watch_end(struct observer *o, struct observed *t)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = t->pub.index};

	t->pidfd = syscall(SYS_pidfd_open, t->pub.pid, 0);
	if (t->pidfd < 0)
		return errno == ESRCH ? -ESRCH : 0; /* its exit is an event, too */
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
	t->pub.start_unix_ms = util__wall_ms();
	err = watch_end(o, t);
	if (!err)
		err = mappings__add(o, &none, &t->anon_map);
	if (err) {
		free_index(o, t->pub.index);
		observed__free(t);
		return err;
	}
	read_names(&t->pub);
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

int targets__add(struct observer *o, int pid, bool child, const struct target **ret)
{
	long tgid = status_value(pid, "\nTgid:\t");
	char why[PROC_TASK_WHY];
	struct observed *t;
	int err;

	err = proc_task__check(pid, why);
	observer__set_error("%s", why);
	if (err)
		return err;
	if (tgid > 0)
		pid = tgid; /* of a thread: its process */
	err = target_new(o, pid, &t);
	if (err)
		return err;
	t->pub.child = child;
	o->targets[t->pub.index] = t;
	o->count++;
	o->nlive++;
	err = proc_probe__add(o->obj, pid, t->pub.index);
	if (!err)
		err = rung__check(o, t);
	if (!err)
		err = mappings__scan(o, t);
	if (err) {
		explain(pid, err);
		observer__remove_target(o, &t->pub);
		return err;
	}
	*ret = &t->pub;
	return 0;
}

int observer__add(struct observer *o, int pid, const struct target **ret)
{
	return targets__add(o, pid, false, ret);
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
