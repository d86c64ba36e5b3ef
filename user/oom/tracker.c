/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/tracker.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/top_n.h"
#include "core/util.h"
#include "sys/proc_image.h"
#include "sys/proc_task.h"
#include "sys/statm.h"

#define BUSY_SHARE 2000 /* a pass may take 1/2000 of the time between passes */
#define LATE_NS (TRACKER_INTERVAL_NS / 20) /* what passes of somebody's are early or late */
#define CMDLINE_KEPT 160
#define CMDLINE_PASSES 12 /* an exec changes it: looked at again after so many passes */

struct point {
	uint32_t virt_kb, rss_kb, shared_kb;
	uint32_t at; /* pass */
};

struct proc {
	uint32_t pid;  /* 0: free */
	uint32_t seen; /* pass */
	uint32_t n;    /* points ever added */
	uint32_t told; /* pass that read the command line */
	struct point p[OOM_POINTS];
	char cmdline[CMDLINE_KEPT];
};

struct tracker {
	int proc_fd;
	uint32_t pass;
	uint64_t last_ns, due_ns;
	struct {
		int64_t steady_ms;
		uint64_t boot_ns;
	} passes[OOM_POINTS * 4];
	struct proc procs[TRACKER_PROCS];
	uint32_t n;
	_Alignas(8) char dents[16384];
};

struct dirent_raw {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

int tracker__new(struct tracker **ret)
{
	struct tracker *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	util__prefault(t, sizeof(*t));
	t->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->proc_fd < 0) {
		int err = -errno;

		free(t);
		return err;
	}
	*ret = t;
	return 0;
}

void tracker__free(struct tracker *t)
{
	if (!t)
		return;
	close(t->proc_fd);
	free(t);
}

/* Calls fn for every process that has memory. */
static void each_proc(struct tracker *t,
		      void (*fn)(struct tracker *t, uint32_t pid, const struct statm *s, void *arg),
		      void *arg)
{
	long n;

	lseek(t->proc_fd, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, t->proc_fd, t->dents, sizeof(t->dents))) > 0) {
		for (long at = 0; at < n;) {
			struct dirent_raw *d = (void *)(t->dents + at);
			struct statm s;
			uint32_t pid;

			at += d->len;
			if (!isdigit((unsigned char)d->name[0]))
				continue;
			pid = strtoul(d->name, NULL, 10);
			if (!statm__of_thread((pid_t)pid, &s))
				fn(t, pid, &s, arg);
		}
	}
}

static struct proc *find(struct tracker *t, uint32_t pid)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->procs[i].pid == pid)
			return &t->procs[i];
	}
	return NULL;
}

/* A process of its own slot, or that of the smallest one if it is larger. */
static struct proc *slot_for(struct tracker *t, uint32_t pid, uint64_t rss_kb)
{
	struct proc *p = find(t, pid), *least = NULL;

	if (p)
		return p;
	if (t->n < TRACKER_PROCS) {
		p = &t->procs[t->n++];
	} else {
		for (uint32_t i = 0; i < t->n; i++) {
			struct proc *q = &t->procs[i];

			if (!least || q->p[(q->n - 1) % OOM_POINTS].rss_kb <
					      least->p[(least->n - 1) % OOM_POINTS].rss_kb)
				least = q;
		}
		if (least->p[(least->n - 1) % OOM_POINTS].rss_kb >= rss_kb)
			return NULL;
		p = least;
	}
	memset(p, 0, sizeof(*p));
	p->pid = pid;
	return p;
}

void tracker__see(struct tracker *t, uint32_t pid, const struct statm *s)
{
	struct proc *p = slot_for(t, pid, s->rss >> 10);

	if (!p)
		return;
	if (p->n % CMDLINE_PASSES == 0) {
		proc_image__put_command((pid_t)pid, p->cmdline, sizeof(p->cmdline));
		p->told = t->pass;
	}
	p->p[p->n++ % OOM_POINTS] = (struct point){
		.virt_kb = min_of(s->virt >> 10, (uint64_t)UINT32_MAX),
		.rss_kb = min_of(s->rss >> 10, (uint64_t)UINT32_MAX),
		.shared_kb = min_of(s->shared >> 10, (uint64_t)UINT32_MAX),
		.at = t->pass,
	};
	p->seen = t->pass;
}

void tracker__begin(struct tracker *t, uint64_t now_ns, int64_t steady_ms)
{
	t->pass++;
	t->passes[t->pass % ARRAY_SIZE(t->passes)].steady_ms = steady_ms;
	t->passes[t->pass % ARRAY_SIZE(t->passes)].boot_ns = util__boot_ns();
	t->last_ns = now_ns;
}

void tracker__end(struct tracker *t)
{
	for (uint32_t i = 0; i < t->n;) {
		if (t->procs[i].seen != t->pass)
			t->procs[i] = t->procs[--t->n];
		else
			i++;
	}
}

bool tracker__offer(struct tracker *t, uint64_t now_ns)
{
	t->due_ns = t->last_ns + 2 * TRACKER_INTERVAL_NS;
	return !t->last_ns || now_ns - t->last_ns >= TRACKER_INTERVAL_NS - LATE_NS;
}

static void see(struct tracker *t, uint32_t pid, const struct statm *s, void *arg)
{
	tracker__see(t, pid, s);
}

void tracker__sample(struct tracker *t, uint64_t now_ns, int64_t steady_ms)
{
	uint64_t cost;

	tracker__begin(t, now_ns, steady_ms);
	each_proc(t, see, NULL);
	tracker__end(t);
	cost = util__now_ns() - now_ns;
	t->due_ns = now_ns + max_of(TRACKER_INTERVAL_NS, cost * BUSY_SHARE);
}

uint64_t tracker__due(const struct tracker *t)
{
	return t->due_ns;
}

double tracker__slope(const struct oom_point *p, size_t n)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0, d;

	if (n < 2)
		return 0;
	for (size_t i = 0; i < n; i++) {
		double x = (double)(p[i].time_unix_ms - p[0].time_unix_ms) / 1000;
		double y = (double)p[i].rss_bytes;

		sx += x;
		sy += y;
		sxx += x * x;
		sxy += x * y;
	}
	d = (double)n * sxx - sx * sx;
	return d > 0 ? ((double)n * sxy - sx * sy) / d : 0;
}

/* The kill itself is the last point: a victim that grew between two passes shows it. */
static void add_last(struct oom_event *e)
{
	const struct oom_proc *v = &e->victim;
	struct oom_point *p = &e->timeline[e->npoints];

	if (e->npoints == OOM_POINTS || v->anon_rss_bytes == OOM_UNKNOWN ||
	    v->total_vm_bytes == OOM_UNKNOWN)
		return;
	p->time_unix_ms = e->time_unix_ms;
	p->virt_bytes = v->total_vm_bytes;
	p->shared_bytes = (v->file_rss_bytes == OOM_UNKNOWN ? 0 : v->file_rss_bytes) +
			  (v->shmem_rss_bytes == OOM_UNKNOWN ? 0 : v->shmem_rss_bytes);
	p->rss_bytes = v->anon_rss_bytes + p->shared_bytes;
	e->npoints++;
}

/* Whether a pass saw the process that began at start_ns (0: not known), and not another that had
 * its pid before. */
static bool is_of(const struct tracker *t, uint32_t pass, uint64_t start_ns)
{
	return pass + ARRAY_SIZE(t->passes) > t->pass &&
	       t->passes[pass % ARRAY_SIZE(t->passes)].boot_ns >= start_ns;
}

/* Whether the pid is still, or again, that of this process. */
static bool is_there(const struct oom_proc *p)
{
	uint64_t tick = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t now = p->start_ns ? proc_task__start_ns((pid_t)p->pid) : 0;

	return !p->start_ns || (now && now / tick == p->start_ns / tick);
}

void tracker__describe(struct tracker *t, struct oom_event *e)
{
	/* the kill's time is the wall clock's */
	int64_t step = util__wall_ms() - util__steady_ms();
	struct proc *p = find(t, e->victim.pid);
	uint64_t start_ns = e->victim.start_ns;
	uint32_t n, first;

	if (start_ns > util__boot_ns())
		start_ns = 0; /* a time namespace: the clocks cannot be compared */
	if (!e->victim.cmdline[0] && is_there(&e->victim))
		proc_image__put_command((pid_t)e->victim.pid, e->victim.cmdline,
					sizeof(e->victim.cmdline));
	if (!e->victim.cmdline[0] && p && is_of(t, p->told, start_ns))
		snprintf(e->victim.cmdline, sizeof(e->victim.cmdline), "%s", p->cmdline);
	e->npoints = 0;
	n = p ? min_of(p->n, (uint32_t)OOM_POINTS - 1) : 0;
	first = p ? p->n - n : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct point *q = &p->p[(first + i) % OOM_POINTS];

		if (!is_of(t, q->at, start_ns))
			continue;
		e->timeline[e->npoints++] = (struct oom_point){
			.time_unix_ms = t->passes[q->at % ARRAY_SIZE(t->passes)].steady_ms + step,
			.virt_bytes = (uint64_t)q->virt_kb << 10,
			.rss_bytes = (uint64_t)q->rss_kb << 10,
			.shared_bytes = (uint64_t)q->shared_kb << 10,
		};
	}
	add_last(e);
	e->growth_bytes_per_s = tracker__slope(e->timeline, e->npoints);
}

struct largest {
	struct kmsg_task *tasks;
	size_t max, n;
};

static void keep_largest(struct tracker *t, uint32_t pid, const struct statm *s, void *arg)
{
	struct largest *l = arg;
	struct kmsg_task task = {.pid = pid,
				 .tgid = pid,
				 .uid = UINT32_MAX,
				 .rss_bytes = s->rss,
				 .total_vm_bytes = s->virt,
				 .pgtables_bytes = OOM_UNKNOWN,
				 .swap_bytes = OOM_UNKNOWN};

	l->n = top_n__insert(l->tasks, l->n, l->max, sizeof(task), &task, kmsg__by_rss);
}

size_t tracker__largest(struct tracker *t, struct kmsg_task *tasks, size_t max)
{
	struct largest l = {tasks, max, 0};

	each_proc(t, keep_largest, &l);
	for (size_t i = 0; i < l.n; i++) {
		int adj;

		proc_task__comm((pid_t)tasks[i].pid, tasks[i].comm, sizeof(tasks[i].comm));
		if (!proc_task__oom_score_adj((pid_t)tasks[i].pid, &adj))
			tasks[i].oom_score_adj = adj;
	}
	return l.n;
}
