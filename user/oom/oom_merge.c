/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/oom_merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define SAME_KILL_NS 10000000000ULL /* a pid is not killed twice within this */
#define NEAR_LIMIT_PAGES 256 /* charges are made in batches: usage stops short of the limit */

struct slot {
	bool used, waits_kmsg;
	uint64_t due_ns;
	struct oom_event e;
	struct kmsg_kill log; /* where the log came first */
	bool has_ev;
	struct mw_ev_oom ev;
};

struct recent {
	uint32_t pid, tid;
	int signal;
	uint64_t start_ns;	     /* of the victim; 0: the log does not tell */
	uint64_t time_ns, handed_ns; /* of the kill; when it was handed on */
};

struct futile {
	bool used;
	uint64_t since_ns;
	uint32_t repeats;
	struct oom_event e;
};

struct oom_merge {
	struct merge_options o;
	merge_fn fn;
	void *arg;
	struct slot slot[MERGE_PENDING];
	struct recent recent[MERGE_RECENT];
	size_t next_recent;
	struct futile futile[MERGE_FUTILE];
	uint64_t now_ns; /* of the last call */
};

int oom_merge__new(const struct merge_options *o, merge_fn fn, void *arg, struct oom_merge **ret)
{
	struct oom_merge *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	util__prefault(m, sizeof(*m));
	m->o = *o;
	m->fn = fn;
	m->arg = arg;
	*ret = m;
	return 0;
}

void oom_merge__free(struct oom_merge *m)
{
	free(m);
}

static void choose_group(const struct oom_merge *m, struct oom_event *e,
			 const struct mw_ev_oom *ev);

static void hand_on(struct oom_merge *m, struct slot *s)
{
	struct recent *r = &m->recent[m->next_recent++ % MERGE_RECENT];

	*r = (struct recent){s->e.victim.pid,	   s->e.victim.tid, s->e.signal,
			     s->e.victim.start_ns, s->e.time_ns,    m->now_ns};
	s->used = false;
	if (s->has_ev)
		choose_group(m, &s->e, &s->ev);
	m->fn(m->arg, &s->e);
}

static bool is_near(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) < SAME_KILL_NS;
}

/* start_ns 0: the log's word, at time_ns. It may come long after the kill, when memwatch itself was
 * held up: then what was handed on just now counts too. */
static bool already_handed_on(const struct oom_merge *m, uint32_t pid, uint32_t tid, int signal,
			      uint64_t start_ns, uint64_t time_ns)
{
	for (size_t i = 0; i < MERGE_RECENT; i++) {
		const struct recent *r = &m->recent[i];

		if ((r->pid != pid && r->tid != tid) || r->signal != signal)
			continue;
		if (start_ns && r->start_ns && start_ns != r->start_ns)
			continue; /* another process with the same pid */
		if (is_near(r->time_ns, time_ns) || is_near(r->handed_ns, m->now_ns))
			return true;
	}
	return false;
}

static struct slot *new_slot(struct oom_merge *m)
{
	struct slot *oldest = NULL;

	for (size_t i = 0; i < MERGE_PENDING; i++) {
		struct slot *s = &m->slot[i];

		if (!s->used)
			oldest = s;
		else if (!oldest || (oldest->used && s->due_ns < oldest->due_ns))
			oldest = s;
		if (!s->used)
			break;
	}
	if (oldest->used)
		hand_on(m, oldest);
	memset(oldest, 0, sizeof(*oldest));
	oldest->used = true;
	oom_event__init(&oldest->e);
	return oldest;
}

/* The log names a thread of the victim, which need not be its main thread. */
static bool is_of(const struct oom_event *e, uint32_t pid, uint32_t tid)
{
	return e->victim.tid == tid || e->victim.pid == pid;
}

static struct slot *find_waiting(struct oom_merge *m, uint32_t pid, uint32_t tid, bool waits_kmsg)
{
	for (size_t i = 0; i < MERGE_PENDING; i++) {
		struct slot *s = &m->slot[i];

		if (s->used && s->waits_kmsg == waits_kmsg && is_of(&s->e, pid, tid) &&
		    !s->e.by_daemon)
			return s;
	}
	return NULL;
}

/* Path of a group from its components, leaf first; `from` skips that many at the leaf end. */
static void join_path(char *to, size_t size, const char *names, size_t stride, size_t n,
		      size_t from, bool cut)
{
	size_t len = 0;

	to[0] = 0;
	if (cut)
		len = snprintf(to, size, "/...");
	for (size_t i = n; i > from; i--) {
		const char *name = names + (i - 1) * stride;

		if (!name[0])
			continue;
		len += snprintf(to + len, len < size ? size - len : 0, "/%.*s", MW_OOM_NAME - 1,
				name);
		if (len >= size)
			return;
	}
	if (!len)
		snprintf(to, size, "/");
}

static uint64_t limit_bytes(const struct oom_merge *m, uint64_t pages)
{
	if (pages >= (uint64_t)INT64_MAX / m->o.page_bytes)
		return OOM_NO_LIMIT;
	return pages * m->o.page_bytes;
}

static void from_task(const struct oom_merge *m, struct oom_proc *p, const struct mw_oom_task *t)
{
	uint64_t page = m->o.page_bytes;

	p->pid = t->tgid;
	p->tid = t->pid;
	p->uid = t->uid;
	p->start_ns = t->start_ns;
	p->oom_score_adj = t->oom_score_adj;
	snprintf(p->comm, sizeof(p->comm), "%.*s", MW_OOM_COMM, t->comm);
	p->total_vm_bytes = t->total_vm * page;
	p->anon_rss_bytes = t->anon * page;
	p->file_rss_bytes = t->file * page;
	p->shmem_rss_bytes = t->shmem * page;
	p->swap_bytes = t->swap * page;
	p->pgtables_bytes = t->pgtables_bytes;
}

/*
 * Which limit was hit: the kernel does not say at the mark, but a group whose limit stopped an
 * allocation is within a batch of charges of it. The log's word, when it comes, replaces this.
 */
static void guess_memcg(const struct oom_merge *m, struct oom_event *e, const struct mw_ev_oom *ev)
{
	size_t n = min_of(ev->victim.nlevels, (uint32_t)MW_OOM_LEVELS);

	for (size_t i = 0; i < n; i++) {
		const struct mw_oom_level *l = &ev->victim_cgroup[i];
		bool swap_hit = m->o.version == 1 && limit_bytes(m, l->swap_max) != OOM_NO_LIMIT &&
				l->swap_usage + NEAR_LIMIT_PAGES >= l->swap_max;

		if (limit_bytes(m, l->max) == OOM_NO_LIMIT && !swap_hit)
			continue;
		if (l->usage + NEAR_LIMIT_PAGES < l->max && !swap_hit)
			continue;
		e->constraint = OOM_CONSTRAINT_MEMCG;
		e->has_constraint = true;
		join_path(e->memcg, sizeof(e->memcg), ev->victim_cgroup[0].name,
			  sizeof(ev->victim_cgroup[0]), n, i, ev->victim.cut);
		return;
	}
}

/* Limits and usage at the kill, of the group named by e->memcg. */
static void read_level(const struct oom_merge *m, struct oom_event *e, const struct mw_ev_oom *ev)
{
	size_t n = min_of(ev->victim.nlevels, (uint32_t)MW_OOM_LEVELS);
	char path[OOM_PATH];

	for (size_t i = 0; i < n; i++) {
		const struct mw_oom_level *l = &ev->victim_cgroup[i];

		join_path(path, sizeof(path), ev->victim_cgroup[0].name,
			  sizeof(ev->victim_cgroup[0]), n, i, ev->victim.cut);
		if (strcmp(path, e->memcg))
			continue;
		e->limit_bytes = limit_bytes(m, l->max);
		e->usage_bytes = l->usage * m->o.page_bytes;
		if (m->o.version == 1) {
			e->memsw_limit_bytes = limit_bytes(m, l->swap_max);
			e->memsw_usage_bytes = l->swap_usage * m->o.page_bytes;
		} else {
			e->swap_limit_bytes = limit_bytes(m, l->swap_max);
			e->swap_usage_bytes = l->swap_usage * m->o.page_bytes;
		}
		return;
	}
}

static void from_stall(const struct oom_merge *m, struct oom_stall *to,
		       const struct mw_oom_stall *from)
{
	for (size_t i = 0; i < OOM_WINDOWS; i++) {
		to->cnt[i] = from->cnt[i];
		to->ns[i] = from->ns[i];
		to->bytes[i] = from->pages[i] * m->o.page_bytes;
	}
}

static void from_stalls(const struct oom_merge *m, struct oom_stalls *s, const struct mw_ev_oom *ev)
{
	uint64_t since = m->o.stalls_since_ns;

	s->has_reclaim = m->o.has_reclaim;
	s->has_compaction = m->o.has_compaction;
	if (ev->time_ns > since)
		s->watched_s = min_of((ev->time_ns - since + 999999999) / 1000000000,
				      (uint64_t)MW_OOM_LONG_S);
	from_stall(m, &s->machine, &ev->machine_reclaim);
	from_stall(m, &s->victim, &ev->victim_reclaim);
	from_stall(m, &s->trigger, &ev->trigger_reclaim);
	from_stall(m, &s->machine_compaction, &ev->machine_compaction);
	from_stall(m, &s->victim_compaction, &ev->victim_compaction);
	from_stall(m, &s->trigger_compaction, &ev->trigger_compaction);
}

/* The group whose reclaim is told: the one that hit its limit, which is known for sure only now,
 * else the victim's own. */
static void choose_group(const struct oom_merge *m, struct oom_event *e, const struct mw_ev_oom *ev)
{
	size_t n = min_of(ev->victim.nlevels, (uint32_t)MW_OOM_LEVELS), found = n;
	struct oom_stalls *s = &e->stalls;

	for (size_t i = 0; i < n && found == n && e->memcg[0]; i++) {
		join_path(s->group_path, sizeof(s->group_path), ev->victim_cgroup[0].name,
			  sizeof(ev->victim_cgroup[0]), n, i, ev->victim.cut);
		if (!strcmp(s->group_path, e->memcg))
			found = i;
	}
	if (found == n && n) {
		found = 0;
		snprintf(s->group_path, sizeof(s->group_path), "%s", e->victim.cgroup);
	}
	if (found == n || !strcmp(s->group_path, "/")) {
		s->group_path[0] = 0;
		return;
	}
	from_stall(m, &s->group, &ev->victim_cgroup[found].reclaim);
}

static void from_writer(struct oom_event *e, const struct mw_oom_writer *w, uint64_t time_ns)
{
	if (!w->time_ns)
		return;
	e->score.pid = w->pid;
	e->score.of = w->target;
	e->score.time_unix_ms = e->time_unix_ms - (int64_t)(time_ns - w->time_ns) / 1000000;
	snprintf(e->score.comm, sizeof(e->score.comm), "%.*s", MW_OOM_COMM, w->comm);
}

static void join_cmdline(struct oom_proc *p, const char *raw, size_t len)
{
	len = min_of(len, sizeof(p->cmdline) - 1);
	memcpy(p->cmdline, raw, len);
	while (len && !p->cmdline[len - 1])
		len--;
	for (size_t i = 0; i < len; i++) {
		if (!p->cmdline[i])
			p->cmdline[i] = ' ';
	}
	p->cmdline[len] = 0;
}

static void from_probe(const struct oom_merge *m, struct oom_event *e, const struct mw_ev_oom *ev)
{
	e->from |= OOM_FROM_PROBE;
	e->by_daemon = ev->kind == MW_OOM_DAEMON;
	e->signal = ev->signal;
	from_task(m, &e->victim, &ev->victim);
	from_task(m, &e->trigger, &ev->trigger);
	join_path(e->victim.cgroup, OOM_PATH, ev->victim_cgroup[0].name,
		  sizeof(ev->victim_cgroup[0]), min_of(ev->victim.nlevels, (uint32_t)MW_OOM_LEVELS),
		  0, ev->victim.cut);
	join_path(e->trigger.cgroup, OOM_PATH, ev->trigger_cgroup[0], MW_OOM_NAME,
		  min_of(ev->trigger.nlevels, (uint32_t)MW_OOM_LEVELS), 0, ev->trigger.cut);
	if (ev->cmdline_len)
		join_cmdline(&e->victim, ev->cmdline,
			     min_of(ev->cmdline_len, (uint32_t)MW_OOM_CMDLINE));
	if (!e->by_daemon && !e->memcg[0])
		guess_memcg(m, e, ev);
	if (e->memcg[0])
		read_level(m, e, ev);
	from_stalls(m, &e->stalls, ev);
	from_writer(e, &ev->score, ev->time_ns);
}

/* --- nobody to be killed: thousands in a row, of which the first and a count are told --- */

/* The count is told as of the last one, so that who goes on behind that in the kernel's log has had
 * all of them; and with what the log says of it alone. */
static void count_one(struct futile *f, const struct kmsg_kill *k, uint64_t time_ns,
		      int64_t time_unix_ms)
{
	uint64_t first = f->repeats++ ? f->e.first_seq : k->seq;

	oom_event__init(&f->e);
	oom_event__from_log(&f->e, k);
	f->e.first_seq = first;
	f->e.time_ns = time_ns;
	f->e.time_unix_ms = time_unix_ms;
}

/* Whether the event goes into the count of an earlier one of the same group. */
static bool counted_with_another(struct oom_merge *m, const struct kmsg_kill *k, uint64_t time_ns,
				 int64_t time_unix_ms)
{
	for (size_t i = 0; i < MERGE_FUTILE; i++) {
		struct futile *f = &m->futile[i];

		if (!f->used || strcmp(f->e.memcg, k->oom_memcg) ||
		    time_ns >= f->since_ns + MERGE_FUTILE_NS)
			continue;
		count_one(f, k, time_ns, time_unix_ms);
		return true;
	}
	return false;
}

static void end_futile(struct oom_merge *m, struct futile *f)
{
	f->used = false;
	if (!f->repeats)
		return;
	f->e.repeats = f->repeats;
	m->fn(m->arg, &f->e);
}

/* Hands the first of them on and remembers it for the count. */
static void hand_on_futile(struct oom_merge *m, struct slot *s, uint64_t time_ns)
{
	struct futile *f = &m->futile[0];

	for (size_t i = 0; i < MERGE_FUTILE && f->used; i++) {
		struct futile *other = &m->futile[i];

		if (!other->used || other->since_ns < f->since_ns)
			f = other;
	}
	if (f->used)
		end_futile(m, f);
	f->used = true;
	f->repeats = 0;
	f->since_ns = time_ns;
	f->e = s->e;
	hand_on(m, s);
}

void oom_merge__probe(struct oom_merge *m, const struct mw_ev_oom *ev, uint64_t now_ns,
		      int64_t wall_ms, void (*enrich)(void *arg, struct oom_event *e))
{
	struct slot *s = find_waiting(m, ev->victim.tgid, ev->victim.pid, false);
	const struct slot *twin;

	m->now_ns = now_ns;
	if (s && ev->kind == MW_OOM_KERNEL) {
		s->has_ev = true;
		s->ev = *ev;
		from_probe(m, &s->e, ev);
		oom_event__from_log(&s->e,
				    &s->log); /* what it knows better, whichever came first */
		hand_on(m, s);
		return;
	}
	/* With memory.oom.group the kernel goes through the whole group, the victim included. */
	twin = find_waiting(m, ev->victim.tgid, ev->victim.pid, true);
	if (twin && ev->kind == MW_OOM_KERNEL && twin->e.victim.start_ns == ev->victim.start_ns)
		return;
	if (already_handed_on(m, ev->victim.tgid, ev->victim.pid, ev->signal, ev->victim.start_ns,
			      ev->time_ns))
		return;
	s = new_slot(m);
	s->e.time_ns = ev->time_ns;
	s->e.time_unix_ms = wall_ms - (int64_t)(now_ns - ev->time_ns) / 1000000;
	s->has_ev = true;
	s->ev = *ev;
	from_probe(m, &s->e, ev);
	enrich(m->arg, &s->e);
	s->waits_kmsg = true;
	s->due_ns = now_ns + MERGE_WAIT_KMSG_NS;
	if (s->e.by_daemon || !m->o.has_kmsg)
		hand_on(m, s);
}

void oom_merge__kmsg(struct oom_merge *m, const struct kmsg_kill *k, bool live, uint64_t now_ns,
		     int64_t wall_ms, void (*enrich)(void *arg, struct oom_event *e))
{
	struct slot *s = k->no_victim ? NULL : find_waiting(m, k->pid, k->pid, true);
	/* The log's clock runs close to, but not in step with, the monotonic clock. */
	uint64_t time_ns = live ? now_ns : k->time_us * 1000;
	int64_t time_unix_ms =
		live ? wall_ms : wall_ms - ((int64_t)now_ns - (int64_t)time_ns) / 1000000;

	m->now_ns = now_ns;
	if (k->no_victim && counted_with_another(m, k, time_ns, time_unix_ms))
		return;
	if (s) {
		oom_event__from_log(&s->e, k);
		hand_on(m, s);
		return;
	}
	if (!k->no_victim && find_waiting(m, k->pid, k->pid, false))
		return; /* told twice: the victim of a group that is killed as a whole */
	if (!k->no_victim && live && already_handed_on(m, k->pid, k->pid, 9, 0, now_ns))
		return;
	s = new_slot(m);
	s->e.time_ns = time_ns;
	s->e.time_unix_ms = time_unix_ms;
	oom_event__from_log(&s->e, k);
	s->log = *k;
	if (live)
		enrich(m->arg, &s->e);
	s->due_ns = now_ns + MERGE_WAIT_PROBE_NS;
	if (k->no_victim)
		hand_on_futile(m, s, s->e.time_ns);
	else if (!live || !m->o.has_probe)
		hand_on(m, s);
}

void oom_merge__tick(struct oom_merge *m, uint64_t now_ns)
{
	if (now_ns != UINT64_MAX)
		m->now_ns = now_ns;
	for (size_t i = 0; i < MERGE_PENDING; i++) {
		if (m->slot[i].used && m->slot[i].due_ns <= now_ns)
			hand_on(m, &m->slot[i]);
	}
	for (size_t i = 0; i < MERGE_FUTILE; i++) {
		struct futile *f = &m->futile[i];

		if (f->used && (now_ns == UINT64_MAX || f->since_ns + MERGE_FUTILE_NS <= now_ns))
			end_futile(m, f);
	}
}

uint64_t oom_merge__due(const struct oom_merge *m)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < MERGE_PENDING; i++) {
		if (m->slot[i].used && m->slot[i].due_ns < due)
			due = m->slot[i].due_ns;
	}
	for (size_t i = 0; i < MERGE_FUTILE; i++) {
		if (m->futile[i].used && m->futile[i].since_ns + MERGE_FUTILE_NS < due)
			due = m->futile[i].since_ns + MERGE_FUTILE_NS;
	}
	return due;
}

void oom_merge__flush(struct oom_merge *m)
{
	oom_merge__tick(m, UINT64_MAX);
}
