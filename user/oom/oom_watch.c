/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/oom_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/log.h"
#include "core/top_n.h"
#include "core/util.h"
#include "oom/oom_merge.h"
#include "oom/tracker.h"
#include "probe/oom_probe.h"
#include "sys/cgroup.h"
#include "sys/kmsg.h"
#include "sys/meminfo.h"
#include "sys/mountinfo.h"
#include "sys/statm.h"

static const char *const daemons[] = {"systemd-oomd", "earlyoom", "oomd", "nohang", NULL};

#define MOUNTINFO_BYTES (64 << 10) /* of the mounts, looked through for tmpfs */
#define SHMEM_SHARE 8		   /* mounts are told where an eighth of the memory is shared */

struct oom_watch {
	watch_fn fn;
	void *arg;
	struct oom_probe *probe;
	struct kmsg kmsg;
	struct oom_merge *merge;
	struct tracker *tracker;
	struct throttle *throttle; /* NULL: cgroups of version 1 */
	int epoll_fd, psi_fd, meminfo_fd;
	struct cgroup_mounts mounts;
	char mountinfo[MOUNTINFO_BYTES];
	uint64_t live_from; /* log records from this one on are new */
	uint64_t from_seq;
};

/* The list was read a moment after the kill: the victim may have gone, or shrunk. */
static void add_victim(struct oom_event *e)
{
	const struct oom_proc *v = &e->victim;
	struct kmsg_task t = {.pid = v->tid,
			      .tgid = v->pid,
			      .uid = v->uid,
			      .oom_score_adj = v->oom_score_adj,
			      .total_vm_bytes = v->total_vm_bytes,
			      .pgtables_bytes = v->pgtables_bytes,
			      .swap_bytes = v->swap_bytes,
			      .rss_bytes =
				      v->anon_rss_bytes + v->file_rss_bytes + v->shmem_rss_bytes};
	size_t i;

	snprintf(t.comm, sizeof(t.comm), "%s", v->comm);
	for (i = 0; i < e->ntasks && e->tasks[i].tgid != v->pid; i++)
		;
	if (i == OOM_TASKS)
		i--; /* the smallest makes room, even for a smaller victim */
	if (i < e->ntasks)
		memmove(&e->tasks[i], &e->tasks[i + 1], (--e->ntasks - i) * sizeof(t));
	e->ntasks = top_n__insert(e->tasks, e->ntasks, OOM_TASKS, sizeof(t), &t, kmsg__by_rss);
}

/* The largest file systems of an event, each once however often it is mounted. */
struct tmpfs_list {
	struct tmpfs_found {
		dev_t dev;
		struct oom_tmpfs t;
	} of[OOM_TMPFS];
	size_t n;
};

static bool is_seen(const struct tmpfs_list *l, dev_t dev)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->of[i].dev == dev)
			return true;
	}
	return false;
}

static int by_use(const void *a, const void *b)
{
	const struct tmpfs_found *x = a, *y = b;

	return (x->t.used_bytes < y->t.used_bytes) - (x->t.used_bytes > y->t.used_bytes);
}

/* A line of mountinfo. */
static void add_tmpfs(struct tmpfs_list *l, char *line)
{
	struct mountinfo m;
	struct tmpfs_found found;
	struct statvfs fs;
	struct stat st;

	if (!mountinfo__parse(line, &m) || strcmp(m.type, "tmpfs") ||
	    strlen(m.point) >= OOM_TMPFS_PATH)
		return;
	if (stat(m.point, &st) || is_seen(l, st.st_dev) || statvfs(m.point, &fs))
		return;
	found.dev = st.st_dev;
	found.t.used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	snprintf(found.t.path, sizeof(found.t.path), "%s", m.point);
	if (found.t.used_bytes)
		l->n = top_n__insert(l->of, l->n, OOM_TMPFS, sizeof(found), &found, by_use);
}

/* Files in tmpfs are memory that no process holds: they stay when the victim is gone. */
static void find_tmpfs(struct oom_watch *w, struct oom_event *e)
{
	cleanup_fd int fd = mountinfo__open();
	struct tmpfs_list l = {0};
	size_t len = 0;
	ssize_t n;

	while (fd >= 0 && len < sizeof(w->mountinfo) - 1 &&
	       (n = read(fd, w->mountinfo + len, sizeof(w->mountinfo) - 1 - len)) > 0)
		len += n;
	w->mountinfo[len] = 0;
	for (char *line = w->mountinfo, *next; line; line = next) {
		next = strchr(line, '\n');
		if (!next)
			break; /* the end, or cut */
		*next++ = 0;
		add_tmpfs(&l, line);
	}
	for (e->ntmpfs = 0; e->ntmpfs < l.n; e->ntmpfs++)
		e->tmpfs[e->ntmpfs] = l.of[e->ntmpfs].t;
}

/* What the group that hit its limit, or the machine, holds besides the processes. */
static void explain_memory(struct oom_watch *w, struct oom_event *e)
{
	uint64_t shmem, all = 0;

	if (!e->has_stat && e->memcg[0] && w->mounts.version &&
	    !cgroup__stat(&w->mounts, e->memcg, &e->stat))
		e->has_stat = true;
	if (!e->has_stat)
		return;
	shmem = e->stat.bytes[CGROUP_STAT_SHMEM];
	all = e->memcg[0] && e->usage_bytes < OOM_NO_LIMIT ? e->usage_bytes : e->mem_total_bytes;
	if (shmem != CGROUP_STAT_UNKNOWN && all < OOM_NO_LIMIT && shmem >= all / SHMEM_SHARE)
		find_tmpfs(w, e);
}

static void complete(void *arg, struct oom_event *e)
{
	struct oom_watch *w = arg;

	if (e->from & OOM_FROM_PROBE || e->no_victim)
		explain_memory(w, e);

	if (!e->ntasks && w->tracker && e->from & OOM_FROM_PROBE) {
		e->ntasks = tracker__largest(w->tracker, e->tasks, OOM_TASKS);
		add_victim(e);
	}
	w->fn(w->arg, e);
}

/* What the machine looks like now, a moment after the kill. */
static void enrich(void *arg, struct oom_event *e)
{
	struct oom_watch *w = arg;
	struct meminfo memory;

	if (w->tracker)
		tracker__describe(w->tracker, e);
	if (w->psi_fd >= 0)
		psi__read(w->psi_fd, &e->psi);
	if (w->meminfo_fd < 0 || meminfo__read_fd(w->meminfo_fd, &memory))
		return;
	e->mem_total_bytes = memory.total;
	e->mem_free_bytes = memory.free;
	e->mem_available_bytes = memory.available;
}

static void on_probe(void *arg, const struct mw_ev_oom *ev)
{
	struct oom_watch *w = arg;

	oom_merge__probe(w->merge, ev, util__now_ns(), util__wall_ms(), enrich);
}

static int drain_kmsg(struct oom_watch *w)
{
	int got;

	while ((got = kmsg__next(&w->kmsg)) > 0) {
		const struct kmsg_kill *k = &w->kmsg.parser.cur;
		bool live = k->seq >= w->live_from;

		if (live || k->seq >= w->from_seq)
			oom_merge__kmsg(w->merge, k, live, util__now_ns(), util__wall_ms(), enrich);
	}
	return got;
}

static int watch_fd(struct oom_watch *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* Sequence number that the next record of the log will have, as good as can be known. */
static uint64_t log_end(void)
{
	struct kmsg *k = malloc(sizeof(*k));
	uint64_t end = 0, seq, time_us;
	unsigned facility;
	const char *text;
	ssize_t n;

	if (!k || kmsg__open(k, true)) {
		free(k);
		return 0;
	}
	while ((n = read(k->fd, k->buf, KMSG_RECORD_MAX)) >= 0 || errno == EPIPE ||
	       errno == EINTR) {
		if (n < 0)
			continue;
		k->buf[n] = 0;
		if (!kmsg__split(k->buf, &seq, &time_us, &facility, &text))
			end = seq + 1;
	}
	kmsg__close(k);
	free(k);
	return end;
}

static int setup(struct oom_watch *w, const struct watch_options *o, int *ret_probe_err,
		 int *ret_kmsg_err)
{
	struct merge_options mo = {.page_bytes = sysconf(_SC_PAGESIZE)};
	int err;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	/* The log's end is noted before the probe is in: a kill in between shows up in both or in
	 * the log alone, never in neither. */
	w->from_seq = o->from_seq;
	w->live_from = log_end();
	*ret_kmsg_err = o->no_kmsg ? -ECANCELED : kmsg__open(&w->kmsg, true);
	*ret_probe_err = o->no_probe ? -ECANCELED : oom_probe__new(daemons, on_probe, w, &w->probe);
	if (*ret_kmsg_err && *ret_probe_err)
		return *ret_probe_err == -ECANCELED ? *ret_kmsg_err : *ret_probe_err;
	mo.has_probe = !*ret_probe_err;
	mo.has_kmsg = !*ret_kmsg_err;
	if (w->probe) {
		mo.has_reclaim = !oom_probe__extra(w->probe, OOM_PROBE_RECLAIM);
		mo.has_compaction = !oom_probe__extra(w->probe, OOM_PROBE_COMPACTION);
		mo.stalls_since_ns = oom_probe__since_ns(w->probe);
	}
	cgroup__mounts(&w->mounts);
	mo.version = w->mounts.version;
	err = oom_merge__new(&mo, complete, w, &w->merge);
	if (!err && !o->no_tracker)
		err = tracker__new(&w->tracker);
	if (!err && o->throttle_fn) {
		err = throttle__new(&w->mounts, o->throttle_fn, w->arg, &w->throttle);
		err = err == -EOPNOTSUPP ? 0 : err;
	}
	if (!err && w->probe)
		err = watch_fd(w, oom_probe__fd(w->probe));
	if (!err && w->kmsg.fd >= 0)
		err = watch_fd(w, w->kmsg.fd);
	w->psi_fd = psi__open_machine();
	w->meminfo_fd = meminfo__open();
	return err;
}

int oom_watch__new(const struct watch_options *o, watch_fn fn, void *arg, struct oom_watch **ret,
		   int *ret_probe_err, int *ret_kmsg_err)
{
	struct oom_watch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->arg = arg;
	w->epoll_fd = w->psi_fd = w->meminfo_fd = w->kmsg.fd = -1;
	err = setup(w, o, ret_probe_err, ret_kmsg_err);
	if (err) {
		oom_watch__free(w);
		return err;
	}
	*ret = w;
	return 0;
}

void oom_watch__free(struct oom_watch *w)
{
	if (!w)
		return;
	oom_probe__free(w->probe);
	kmsg__close(&w->kmsg);
	oom_merge__free(w->merge);
	tracker__free(w->tracker);
	throttle__free(w->throttle);
	if (w->psi_fd >= 0)
		close(w->psi_fd);
	if (w->meminfo_fd >= 0)
		close(w->meminfo_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w);
}

int oom_watch__fd(const struct oom_watch *w)
{
	return w->epoll_fd;
}

int oom_watch__timeout_ms(const struct oom_watch *w)
{
	uint64_t due = oom_merge__due(w->merge), now = util__now_ns();

	if (w->tracker && tracker__due(w->tracker) < due)
		due = tracker__due(w->tracker);
	if (w->throttle && throttle__due(w->throttle) < due)
		due = throttle__due(w->throttle);
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int)min_of((due - now) / 1000000 + 1, (uint64_t)60000);
}

int oom_watch__run(struct oom_watch *w)
{
	int err = 0;

	if (w->probe)
		err = oom_probe__drain(w->probe);
	if (err >= 0 && w->kmsg.fd >= 0)
		err = drain_kmsg(w);
	oom_merge__tick(w->merge, util__now_ns());
	if (w->tracker && tracker__due(w->tracker) <= util__now_ns())
		tracker__sample(w->tracker, util__now_ns(), util__steady_ms());
	if (w->throttle && throttle__due(w->throttle) <= util__now_ns())
		throttle__tick(w->throttle, util__now_ns(), util__wall_ms());
	return err < 0 ? err : 0;
}

void oom_watch__sizes(struct oom_watch *w, size_t n, watch_size_fn fn, void *arg)
{
	uint64_t now = util__now_ns();

	if (!w->tracker || !tracker__offer(w->tracker, now))
		return;
	tracker__begin(w->tracker, now, util__steady_ms());
	for (size_t i = 0; i < n; i++) {
		struct statm s;
		uint32_t pid;

		if (fn(arg, i, &pid, &s))
			tracker__see(w->tracker, pid, &s);
	}
	tracker__end(w->tracker);
}

void oom_watch__flush(struct oom_watch *w)
{
	oom_watch__run(w);
	oom_merge__flush(w->merge);
}

void oom_watch__stats(const struct oom_watch *w, struct watch_stats *ret)
{
	*ret = (struct watch_stats){.lost_log_records = w->kmsg.lost};
	if (!w->probe)
		return;
	ret->kills = oom_probe__counter(w->probe, MW_OOM_C_KILLS);
#define X(name, text, means) \
	ret->lost[MW_OOM_C_LOST_##name] = oom_probe__counter(w->probe, MW_OOM_C_LOST_##name);
	MW_OOM_LOSSES(X)
#undef X
}

const char *oom_watch__lost(const struct watch_stats *s, bool brief, char buf[WATCH_LOST])
{
	const struct {
		const char *text;
		uint64_t n;
	} causes[] = {
#define X(name, text, means) {text, s->lost[MW_OOM_C_LOST_##name]},
		MW_OOM_LOSSES(X)
#undef X
			{"log records overwritten", s->lost_log_records},
	};
	size_t len = 0;

	buf[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		if ((brief && !causes[i].n) || len >= WATCH_LOST)
			continue;
		len += snprintf(buf + len, WATCH_LOST - len, "%s%" PRIu64 " %s", len ? ", " : "",
				causes[i].n, causes[i].text);
	}
	return buf;
}

int oom_watch__past(watch_fn fn, void *arg)
{
	struct watch_options o = {.no_probe = true, .no_tracker = true, .from_seq = 0};
	struct oom_watch *w;
	int probe_err, kmsg_err;
	int err = oom_watch__new(&o, fn, arg, &w, &probe_err, &kmsg_err);

	if (err)
		return err;
	w->live_from = UINT64_MAX;
	oom_watch__flush(w);
	oom_watch__free(w);
	return 0;
}
