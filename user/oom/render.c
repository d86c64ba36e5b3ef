/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/render.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/units.h"
#include "core/util.h"
#include "core/when.h"

int render__reserve(struct textbuf *b)
{
	char *p;

	if (b->cap >= RENDER_RESERVE)
		return 0;
	p = realloc(b->text, RENDER_RESERVE);
	if (!p)
		return -ENOMEM;
	b->text = p;
	b->cap = RENDER_RESERVE;
	util__prefault(p, RENDER_RESERVE);
	textbuf__reset(b);
	return 0;
}

const char *render__constraint(enum oom_constraint c)
{
	static const char *const name[] = {[OOM_CONSTRAINT_NONE] = "none",
					   [OOM_CONSTRAINT_CPUSET] = "cpuset",
					   [OOM_CONSTRAINT_MEMPOLICY] = "mempolicy",
					   [OOM_CONSTRAINT_MEMCG] = "memcg"};

	return (size_t)c < ARRAY_SIZE(name) ? name[c] : "none";
}

/* --- JSON --- */

static void json_size(struct textbuf *b, const char *key, uint64_t v)
{
	if (v == OOM_UNKNOWN || v == OOM_NO_LIMIT) {
		textbuf__format(b, ",\"%s\":null", key);
		return;
	}
	textbuf__format(b, ",\"%s\":%" PRIu64, key, v);
}

static void json_text(struct textbuf *b, const char *key, const char *text)
{
	textbuf__format(b, ",\"%s\":", key);

	if (*text)
		textbuf__json(b, text);
	else
		textbuf__str(b, "null");
}

static void json_id(struct textbuf *b, const char *key, uint32_t v)
{
	if (v == UINT32_MAX)
		textbuf__format(b, ",\"%s\":null", key);
	else
		textbuf__format(b, ",\"%s\":%u", key, v);
}

static void json_writer(struct textbuf *b, const struct oom_writer *w)
{
	if (!w->pid) {
		textbuf__format(b, ",\"oom_score_adj_set\":null");
		return;
	}
	textbuf__format(b, ",\"oom_score_adj_set\":{\"time_unix_ms\":%" PRId64 ",\"pid\":%u",
			w->time_unix_ms, w->pid);
	json_text(b, "comm", w->comm);
	textbuf__format(b, ",\"of_pid\":%u}", w->of);
}

static void json_victim(struct textbuf *b, const struct oom_proc *p, const struct oom_writer *w)
{
	textbuf__format(b, ",\"victim\":{\"pid\":%u,\"tid\":%u", p->pid, p->tid);

	json_text(b, "comm", p->comm);
	json_text(b, "cmdline", p->cmdline);
	json_id(b, "uid", p->uid);
	json_text(b, "cgroup", p->cgroup);
	json_size(b, "total_vm_bytes", p->total_vm_bytes);
	json_size(b, "anon_rss_bytes", p->anon_rss_bytes);
	json_size(b, "file_rss_bytes", p->file_rss_bytes);
	json_size(b, "shmem_rss_bytes", p->shmem_rss_bytes);
	json_size(b, "swap_bytes", p->swap_bytes);
	json_size(b, "pgtables_bytes", p->pgtables_bytes);
	if (p->oom_score_adj == OOM_NO_ADJ)
		textbuf__format(b, ",\"oom_score_adj\":null");
	else
		textbuf__format(b, ",\"oom_score_adj\":%d", p->oom_score_adj);
	json_writer(b, w);
	textbuf__format(b, "}");
}

static void json_trigger(struct textbuf *b, const struct oom_proc *p)
{
	if (!p->pid && !p->comm[0]) {
		textbuf__format(b, ",\"trigger\":null");
		return;
	}
	if (p->pid)
		textbuf__format(b, ",\"trigger\":{\"pid\":%u,\"tid\":%u", p->pid, p->tid);
	else
		textbuf__str(b, ",\"trigger\":{\"pid\":null,\"tid\":null");
	json_text(b, "comm", p->comm);
	json_id(b, "uid", p->uid);
	json_text(b, "cgroup", p->cgroup);
	textbuf__format(b, "}");
}

static void json_memcg(struct textbuf *b, const struct oom_event *e)
{
	if (!e->memcg[0]) {
		textbuf__format(b, ",\"memcg\":null");
		return;
	}
	textbuf__format(b, ",\"memcg\":{\"path\":");
	textbuf__json(b, e->memcg);
	json_size(b, "limit_bytes", e->limit_bytes);
	json_size(b, "usage_bytes", e->usage_bytes);
	json_size(b, "swap_limit_bytes", e->swap_limit_bytes);
	json_size(b, "swap_usage_bytes", e->swap_usage_bytes);
	json_size(b, "memsw_limit_bytes", e->memsw_limit_bytes);
	json_size(b, "memsw_usage_bytes", e->memsw_usage_bytes);
	textbuf__format(b, "}");
}

/* What the memory of that group, or of the machine, was. */
static void json_stat(struct textbuf *b, const struct oom_event *e)
{
	if (!e->has_stat) {
		textbuf__format(b, ",\"stat\":null");
		return;
	}
	textbuf__format(b, ",\"stat\":{\"from\":\"%s\"", e->stat_from_kernel ? "kernel" : "later");
	for (size_t i = 0; i < CGROUP_STATS; i++) {
		char key[64];

		snprintf(key, sizeof(key), "%s_bytes", cgroup_stat__name(i));
		json_size(b, key, e->stat.bytes[i]);
	}
	textbuf__format(b, "},\"tmpfs\":[");
	for (size_t i = 0; i < e->ntmpfs; i++) {
		textbuf__format(b, "%s{\"used_bytes\":%" PRIu64, i ? "," : "",
				e->tmpfs[i].used_bytes);
		json_text(b, "path", e->tmpfs[i].path);
		textbuf__format(b, "}");
	}
	textbuf__format(b, "]");
}

static void json_tasks(struct textbuf *b, const struct oom_event *e)
{
	textbuf__format(b, ",\"tasks_from\":\"%s\",\"tasks\":[",
			!e->ntasks	       ? "none"
			: e->tasks_from_kernel ? "kernel"
					       : "proc");

	for (size_t i = 0; i < e->ntasks; i++) {
		const struct kmsg_task *t = &e->tasks[i];

		textbuf__format(b, "%s{\"pid\":%u", i ? "," : "", t->tgid);
		json_text(b, "comm", t->comm);
		json_id(b, "uid", t->uid);
		json_size(b, "rss_bytes", t->rss_bytes);
		json_size(b, "total_vm_bytes", t->total_vm_bytes);
		json_size(b, "pgtables_bytes", t->pgtables_bytes);
		json_size(b, "swap_bytes", t->swap_bytes);
		textbuf__format(b, ",\"oom_score_adj\":%d}", t->oom_score_adj);
	}
	textbuf__format(b, "]");
}

static void json_psi(struct textbuf *b, const struct psi *p)
{
	if (!p->valid) {
		textbuf__format(b, ",\"psi\":null");
		return;
	}
	textbuf__format(b,
			",\"psi\":{\"some\":{\"avg10\":%.2f,\"avg60\":%.2f,\"avg300\":%.2f,"
			"\"total_us\":%" PRIu64 "},\"full\":{\"avg10\":%.2f,\"avg60\":%.2f,"
			"\"avg300\":%.2f,\"total_us\":%" PRIu64 "}}",
			p->some.avg10, p->some.avg60, p->some.avg300, p->some.total_us,
			p->full.avg10, p->full.avg60, p->full.avg300, p->full.total_us);
}

static void json_stall(struct textbuf *b, const char *key, const struct oom_stall *s, bool have,
		       bool frees)
{
	static const char *const window[OOM_WINDOWS] = {"last_10s", "last_60s"};

	if (!have) {
		textbuf__format(b, "%s:null", key);
		return;
	}
	textbuf__format(b, "%s:{", key);
	for (size_t i = 0; i < OOM_WINDOWS; i++) {
		textbuf__format(b, "%s\"%s\":{\"count\":%" PRIu64 ",\"stall_us\":%" PRIu64,
				i ? "," : "", window[i], s->cnt[i], s->ns[i] / 1000);
		if (frees)
			textbuf__format(b, ",\"freed_bytes\":%" PRIu64, s->bytes[i]);
		textbuf__format(b, "}");
	}
	textbuf__format(b, "}");
}

static void json_staller(struct textbuf *b, const char *key, const struct oom_stalls *s,
			 const struct oom_stall *reclaim, const struct oom_stall *compaction)
{
	textbuf__format(b, ",\"%s\":{", key);

	json_stall(b, "\"reclaim\"", reclaim, s->has_reclaim, true);
	json_stall(b, ",\"compaction\"", compaction, s->has_compaction, false);
	textbuf__format(b, "}");
}

static void json_stalls(struct textbuf *b, const struct oom_stalls *s)
{
	if (!s->has_reclaim && !s->has_compaction) {
		textbuf__format(b, ",\"stalls\":null");
		return;
	}
	textbuf__format(b, ",\"stalls\":{\"watched_s\":%u", s->watched_s);
	if (s->group_path[0]) {
		textbuf__format(b, ",\"group\":{\"path\":");
		textbuf__json(b, s->group_path);
		json_stall(b, ",\"reclaim\"", &s->group, s->has_reclaim, true);
		textbuf__format(b, "}");
	} else {
		textbuf__format(b, ",\"group\":null");
	}
	json_staller(b, "machine", s, &s->machine, &s->machine_compaction);
	json_staller(b, "victim", s, &s->victim, &s->victim_compaction);
	json_staller(b, "trigger", s, &s->trigger, &s->trigger_compaction);
	textbuf__format(b, "}");
}

static void json_timeline(struct textbuf *b, const struct oom_event *e)
{
	textbuf__format(b, ",\"growth_bytes_per_s\":%.0f,\"timeline\":[", e->growth_bytes_per_s);

	for (size_t i = 0; i < e->npoints; i++) {
		const struct oom_point *p = &e->timeline[i];

		textbuf__format(b,
				"%s{\"time_unix_ms\":%" PRId64 ",\"virt_bytes\":%" PRIu64
				",\"rss_bytes\":%" PRIu64 ",\"rss_shared_bytes\":%" PRIu64 "}",
				i ? "," : "", p->time_unix_ms, p->virt_bytes, p->rss_bytes,
				p->shared_bytes);
	}
	textbuf__format(b, "]");
}

int render__json(struct textbuf *b, const struct oom_event *e)
{
	char when[WHEN_LEN];

	textbuf__format(b, "{\"schema\":\"memwatch.oom/1\"");

	if (e->has_time)
		textbuf__format(b, ",\"time\":\"%s\",\"time_unix_ms\":%" PRId64,
				when__utc(when, sizeof(when), e->time_unix_ms), e->time_unix_ms);
	else
		textbuf__format(b, ",\"time\":null,\"time_unix_ms\":null");
	if (e->boot_us != OOM_UNKNOWN)
		textbuf__format(b, ",\"since_boot_s\":%.6f", (double)e->boot_us / 1e6);
	textbuf__format(b, ",\"source\":\"%s\"",
			e->from == OOM_FROM_KMSG    ? "kmsg"
			: e->from == OOM_FROM_PROBE ? "probe"
						    : "probe+kmsg");

	json_size(b, "kmsg_seq", e->seq);
	json_text(b, "boot_id", e->boot_id);
	textbuf__format(b, ",\"killer\":\"%s\"", e->by_daemon ? "daemon" : "kernel");
	textbuf__format(b, ",\"signal\":%d", e->signal);
	textbuf__format(b, ",\"group_kill\":%s", e->is_group ? "true" : "false");
	if (e->no_victim)
		textbuf__format(b, ",\"victim\":null,\"repeats\":%u", e->repeats);
	else
		json_victim(b, &e->victim, &e->score);
	if (e->chosen_pid)
		textbuf__format(b, ",\"sacrificed_for_pid\":%u", e->chosen_pid);
	json_trigger(b, &e->trigger);
	if (e->has_constraint)
		textbuf__format(b, ",\"constraint\":\"%s\"", render__constraint(e->constraint));
	else
		textbuf__format(b, ",\"constraint\":null");
	if (e->has_order)
		textbuf__format(b, ",\"order\":%d", e->order);
	json_memcg(b, e);
	json_stat(b, e);
	textbuf__format(b, ",\"machine\":{\"time_unix_ms\":%" PRId64, e->time_unix_ms);
	json_size(b, "total_bytes", e->mem_total_bytes);
	json_size(b, "free_bytes", e->mem_free_bytes);
	json_size(b, "available_bytes", e->mem_available_bytes);
	json_size(b, "swap_total_bytes", e->swap_total_bytes);
	json_size(b, "swap_free_bytes", e->swap_free_bytes);
	textbuf__format(b, ",\"free_from\":\"%s\"", e->free_from_kernel ? "kernel" : "proc");
	textbuf__format(b, "}");
	json_tasks(b, e);
	json_psi(b, &e->psi);
	json_stalls(b, &e->stalls);
	json_timeline(b, e);
	json_text(b, "profile", e->profile);
	textbuf__format(b, "}\n");
	return b->err;
}

/* --- text --- */

static const char *size_of(char *buf, uint64_t v)
{
	if (v == OOM_UNKNOWN)
		return "?";
	if (v == OOM_NO_LIMIT)
		return "no limit";
	return units__size(buf, UNITS_LEN, v);
}

static void text_who(struct textbuf *b, const struct oom_proc *p)
{
	textbuf__plain(b, p->comm[0] ? p->comm : "?", "");

	if (p->pid)
		textbuf__format(b, " (pid %u", p->pid);
	else
		textbuf__format(b, " (pid unknown");
	if (p->uid != UINT32_MAX)
		textbuf__format(b, ", uid %u", p->uid);
	textbuf__format(b, ")");
}

/* "1.20GB of 3.80GB free", with when that was read; nothing where it is not known. */
static void text_free(struct textbuf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], b4[UNITS_LEN];

	if (e->mem_free_bytes >= OOM_NO_LIMIT) {
		textbuf__format(b, "\n");
		return;
	}
	textbuf__format(b, "; %s", size_of(b1, e->mem_free_bytes));
	if (e->mem_total_bytes < OOM_NO_LIMIT)
		textbuf__format(b, " of %s", size_of(b2, e->mem_total_bytes));
	textbuf__format(b, " free%s", e->free_from_kernel ? "" : ", read just after the kill");
	if (e->swap_total_bytes < OOM_NO_LIMIT && e->swap_total_bytes)
		textbuf__format(b, ", swap %s of %s free", size_of(b3, e->swap_free_bytes),
				size_of(b4, e->swap_total_bytes));
	textbuf__format(b, "\n");
}

/* Not a group's limit. Each sentence says no more than the record. */
static void text_wider_cause(struct textbuf *b, const struct oom_event *e)
{
	if (e->has_order && e->order < 0)
		textbuf__format(b, "the OOM killer was called by hand (SysRq-f)");
	else if (!e->has_constraint)
		textbuf__format(b, e->from & OOM_FROM_KMSG
					   ? "no cgroup's limit; the kernel's log says no more"
					   : "not known: there is no line of the kernel's log, "
					     "and no group of the victim was at its limit");
	else if (e->constraint == OOM_CONSTRAINT_CPUSET)
		textbuf__format(b, "the cpuset's nodes ran out of memory");
	else if (e->constraint == OOM_CONSTRAINT_MEMPOLICY)
		textbuf__format(b, "the nodes of its memory policy ran out of memory");
	else if (e->has_order && e->order > 0)
		textbuf__format(b, "no %u contiguous pages were to be had on the machine",
				1u << min_of(e->order, 30));
	else
		textbuf__format(b, "the machine ran out of memory");
	text_free(b, e);
}

static void text_cause(struct textbuf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];

	if (e->by_daemon) {
		textbuf__format(b, "  why       the OOM daemon sent signal %d\n", e->signal);
		return;
	}
	textbuf__format(b, "  why       ");
	if (!e->memcg[0] && !(e->has_constraint && e->constraint == OOM_CONSTRAINT_MEMCG)) {
		text_wider_cause(b, e);
		return;
	}
	if (!e->memcg[0]) {
		textbuf__format(b, "a cgroup hit its limit; which one, the kernel's "
				   "log does not say\n");
		return;
	}
	textbuf__format(b, "cgroup ");
	textbuf__plain(b, e->memcg, "");
	textbuf__format(b, " hit its limit: %s used of %s\n", size_of(b1, e->usage_bytes),
			size_of(b2, e->limit_bytes));
	if (e->memsw_limit_bytes < OOM_NO_LIMIT)
		textbuf__format(b, "            memory and swap: %s of %s\n",
				size_of(b1, e->memsw_usage_bytes),
				size_of(b2, e->memsw_limit_bytes));
	if (e->swap_usage_bytes && e->swap_usage_bytes < OOM_NO_LIMIT)
		textbuf__format(b, "            swap: %s of %s\n", size_of(b1, e->swap_usage_bytes),
				size_of(b2, e->swap_limit_bytes));
}

/* What the group's, or the machine's, memory was: rows that are not a part of another, the largest
 * first. */
static void text_stat(struct textbuf *b, const struct oom_event *e)
{
	static const enum cgroup_stat_row rows[] = {CGROUP_STAT_ANON,
						    CGROUP_STAT_SHMEM,
						    CGROUP_STAT_ACTIVE_FILE,
						    CGROUP_STAT_INACTIVE_FILE,
						    CGROUP_STAT_SLAB_RECLAIMABLE,
						    CGROUP_STAT_SLAB_UNRECLAIMABLE,
						    CGROUP_STAT_KERNEL_STACK,
						    CGROUP_STAT_PAGETABLES,
						    CGROUP_STAT_SOCK,
						    CGROUP_STAT_PERCPU,
						    CGROUP_STAT_VMALLOC,
						    CGROUP_STAT_KERNEL};
	bool told[ARRAY_SIZE(rows)] = {false}, first = true;
	char b1[UNITS_LEN];

	if (!e->has_stat)
		return;
	/* "kernel" is the sum of the five before it, where these are told. */
	told[ARRAY_SIZE(rows) - 1] =
		e->stat.bytes[CGROUP_STAT_SLAB_UNRECLAIMABLE] != CGROUP_STAT_UNKNOWN;
	for (;;) {
		size_t best = ARRAY_SIZE(rows);

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			uint64_t v = e->stat.bytes[rows[i]];

			if (!told[i] && v && v != CGROUP_STAT_UNKNOWN &&
			    (best == ARRAY_SIZE(rows) || v > e->stat.bytes[rows[best]]))
				best = i;
		}
		if (best == ARRAY_SIZE(rows))
			break;
		told[best] = true;
		textbuf__format(b, "%s%s %s", first ? "  in it     " : ", ",
				cgroup_stat__label(rows[best]),
				size_of(b1, e->stat.bytes[rows[best]]));
		first = false;
	}
	if (first)
		return;
	textbuf__format(b, "%s\n", e->stat_from_kernel ? "" : " (read just after the kill)");
	for (size_t i = 0; i < e->ntmpfs; i++) {
		textbuf__format(b, "%s", i ? ", " : "            tmpfs mounts: ");
		textbuf__plain(b, e->tmpfs[i].path, "");
		textbuf__format(b, " %s%s", size_of(b1, e->tmpfs[i].used_bytes),
				i + 1 == e->ntmpfs ? "\n" : "");
	}
}

static void text_victim(struct textbuf *b, const struct oom_event *e)
{
	const struct oom_proc *v = &e->victim;
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], b4[UNITS_LEN], b5[UNITS_LEN],
		b6[UNITS_LEN];

	if (v->cmdline[0]) {
		textbuf__format(b, "  command   ");
		textbuf__plain(b, v->cmdline, "");
		textbuf__format(b, "\n");
	}
	if (v->cgroup[0]) {
		textbuf__format(b, "  cgroup    ");
		textbuf__plain(b, v->cgroup, "");
		textbuf__format(b, "\n");
	}
	textbuf__format(b,
			"  held      anon %s, file %s, shmem %s, swap %s, page tables "
			"%s; VIRT "
			"%s",
			size_of(b1, v->anon_rss_bytes), size_of(b2, v->file_rss_bytes),
			size_of(b3, v->shmem_rss_bytes), size_of(b4, v->swap_bytes),
			size_of(b5, v->pgtables_bytes), size_of(b6, v->total_vm_bytes));
	if (v->oom_score_adj != OOM_NO_ADJ)
		textbuf__format(b, "; oom_score_adj %d", v->oom_score_adj);
	textbuf__format(b, "\n");
}

static void text_writer(struct textbuf *b, const struct oom_event *e)
{
	const struct oom_writer *w = &e->score;
	int64_t ago_ms = max_of(e->time_unix_ms - w->time_unix_ms, (int64_t)0);
	char ago[UNITS_LEN];

	if (!w->pid)
		return;
	textbuf__format(b, "  score     oom_score_adj %d, set %s before by ",
			e->victim.oom_score_adj,
			units__time(ago, sizeof(ago), (uint64_t)ago_ms * 1000000));
	textbuf__plain(b, w->comm[0] ? w->comm : "?", "");
	textbuf__format(b, " (pid %u)", w->pid);
	if (w->of != e->victim.pid)
		textbuf__format(b, " for its parent (pid %u)", w->of);
	else if (w->pid == e->victim.pid)
		textbuf__format(b, ", the victim itself");
	textbuf__format(b, "\n");
}

static const char *stalled(char *buf, uint64_t ns)
{
	return ns && ns < 1000000 ? "under 1ms" : units__time(buf, UNITS_LEN, ns);
}

static void text_stalls(struct textbuf *b, const struct oom_event *e)
{
	const struct oom_stalls *s = &e->stalls;
	const struct oom_stall *first = s->group_path[0] ? &s->group : &s->machine;
	/* The shorter window says more, if there is something in it. */
	size_t i = first->cnt[0] || s->machine.cnt[0] || s->machine_compaction.cnt[0] ? 0 : 1;
	uint32_t span = min_of(s->watched_s, (uint32_t)(i ? 60 : 10));
	char b1[UNITS_LEN], b2[UNITS_LEN];

	if (!span || (!s->machine.cnt[i] && !s->machine_compaction.cnt[i]))
		return;
	textbuf__format(b, "  reclaim   in the %u s before, %s", span,
			s->group_path[0] ? "in cgroup " : "on the machine");
	if (s->group_path[0])
		textbuf__plain(b, s->group_path, "");
	textbuf__format(b, ": %" PRIu64 " direct reclaims, %s stalled, %s freed\n", first->cnt[i],
			stalled(b1, first->ns[i]), size_of(b2, first->bytes[i]));
	textbuf__format(b, "            by the victim %" PRIu64 ", %s", s->victim.cnt[i],
			stalled(b1, s->victim.ns[i]));
	if (e->trigger.pid != e->victim.pid)
		textbuf__format(b, "; by who asked %" PRIu64 ", %s", s->trigger.cnt[i],
				stalled(b1, s->trigger.ns[i]));
	if (s->group_path[0])
		textbuf__format(b, "; on the machine %" PRIu64 ", %s", s->machine.cnt[i],
				stalled(b1, s->machine.ns[i]));
	if (s->machine_compaction.cnt[i])
		textbuf__format(b, "; compaction %" PRIu64 " times, %s",
				s->machine_compaction.cnt[i],
				stalled(b1, s->machine_compaction.ns[i]));
	textbuf__format(b, "\n");
}

/*
 * How it came to what it held. A line from the first point to the last would call a jump a slope:
 * what counts is the last rise, from where it was last within a tenth of its lowest (flat) to the
 * end.
 */
static void text_growth(struct textbuf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], span[UNITS_LEN], flat[UNITS_LEN];
	const struct oom_point *first = &e->timeline[0], *last, *from;
	uint64_t low = UINT64_MAX, high = 0, edge;

	if (e->npoints < 2)
		return;
	last = &e->timeline[e->npoints - 1];
	for (const struct oom_point *p = first; p <= last; p++) {
		low = min_of(low, p->rss_bytes);
		high = max_of(high, p->rss_bytes);
	}
	if (last->time_unix_ms <= first->time_unix_ms)
		return;
	edge = low + (high - low) / 10;
	for (from = last; from > first && from->rss_bytes > edge; from--)
		;
	if (high - low <= high / 50) {
		textbuf__format(
			b, "  grew      not in the last %s: %s throughout\n",
			units__time(span, sizeof(span),
				    (uint64_t)(last->time_unix_ms - first->time_unix_ms) * 1000000),
			size_of(b1, last->rss_bytes));
		return;
	}
	if (last->time_unix_ms <= from->time_unix_ms)
		from = first;
	textbuf__format(b, "  grew      ");
	if (from > first && from->time_unix_ms - first->time_unix_ms > 1000)
		textbuf__format(b, "flat for %s, then ",
				units__time(flat, sizeof(flat),
					    (uint64_t)(from->time_unix_ms - first->time_unix_ms) *
						    1000000));
	textbuf__format(
		b, "from %s to %s in %s (%s/min)\n", size_of(b1, from->rss_bytes),
		size_of(b2, last->rss_bytes),
		units__time(span, sizeof(span),
			    (uint64_t)(last->time_unix_ms - from->time_unix_ms) * 1000000),
		units__size(b3, sizeof(b3),
			    llround(((double)last->rss_bytes - (double)from->rss_bytes) * 60000 /
				    (double)(last->time_unix_ms - from->time_unix_ms))));
}

static void text_tasks(struct textbuf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];

	if (e->ntasks)
		textbuf__format(b, "  largest   %10s %10s %6s  %s\n", "RSS", "VIRT", "adj",
				e->tasks_from_kernel ? "pid and name, of those that could be chosen"
						     : "pid and name, just after the kill");
	for (size_t i = 0; i < e->ntasks && i < 8; i++) {
		const struct kmsg_task *t = &e->tasks[i];

		textbuf__format(b, "            %10s %10s %6d  %u ", size_of(b1, t->rss_bytes),
				size_of(b2, t->total_vm_bytes), t->oom_score_adj, t->tgid);
		textbuf__plain(b, t->comm, "");
		textbuf__format(b, "%s\n", t->pid == e->victim.tid ? "  (killed)" : "");
	}
}

static void text_headline(struct textbuf *b, const struct oom_event *e)
{
	char when[WHEN_LEN];

	if (e->has_time)
		textbuf__format(b, "%s", when__local(when, sizeof(when), e->time_unix_ms));
	else if (e->boot_us != OOM_UNKNOWN)
		textbuf__format(b, "%.6f s after the boot", (double)e->boot_us / 1e6);
	else
		textbuf__format(b, "time not known");
	if (e->no_victim && e->repeats) {
		textbuf__format(b, "  OOM without a victim: %u more times\n", e->repeats);
		return;
	}
	if (e->no_victim) {
		textbuf__format(b, "  OOM without a victim: nobody could be killed\n");
		return;
	}
	textbuf__format(b, "  OOM kill: ");
	text_who(b, &e->victim);
	if (e->is_group)
		textbuf__format(b, ", with the rest of its group");
	if (e->chosen_pid)
		textbuf__format(b, ", in place of its parent (pid %u)", e->chosen_pid);
	textbuf__format(b, "\n");
}

static void text_trigger(struct textbuf *b, const struct oom_event *e)
{
	if (!e->trigger.pid && !e->trigger.comm[0]) {
		textbuf__format(b, "  asked by  not told\n");
		return;
	}
	textbuf__format(b, "  asked by  ");
	text_who(b, &e->trigger);
	if (e->trigger.pid && e->trigger.pid == e->victim.pid) {
		textbuf__format(b, ", the victim itself");
	} else if (e->trigger.cgroup[0]) {
		textbuf__format(b, " in ");
		textbuf__plain(b, e->trigger.cgroup, "");
	}
	textbuf__format(b, "\n");
}

/* A log alone leaves gaps, which differ with the kernel and with how it was saved. */
static void text_source(struct textbuf *b, const struct oom_event *e)
{
	const struct {
		bool missing;
		const char *what;
	} gap[] = {
		{!e->has_time && e->boot_us != OOM_UNKNOWN, "the date"},
		{!e->trigger.comm[0], "who asked for memory"},
		{!e->has_constraint && !(e->has_order && e->order < 0), "which limit it was"},
		{e->memcg[0] && e->limit_bytes == OOM_UNKNOWN, "the limit's size"},
		{!e->no_victim && !e->victim.cgroup[0], "the victim's cgroup"},
		{!e->no_victim && e->victim.uid == UINT32_MAX, "its user"},
		{!e->no_victim && e->victim.shmem_rss_bytes == OOM_UNKNOWN, "its shared memory"},
		{!e->no_victim && e->victim.pgtables_bytes == OOM_UNKNOWN, "its page tables"},
		{!e->has_stat, "what was in the group or the machine"},
		{!e->ntasks, "the other processes"},
	};
	const char *sep = "; it does not tell ";

	textbuf__format(b, "  source    the kernel's log alone");

	for (size_t i = 0; i < ARRAY_SIZE(gap); i++) {
		if (!gap[i].missing)
			continue;
		textbuf__format(b, "%s%s", sep, gap[i].what);
		sep = ", ";
	}
	textbuf__format(b, "\n");
}

int render__text(struct textbuf *b, const struct oom_event *e)
{
	text_headline(b, e);

	text_cause(b, e);
	text_stat(b, e);
	text_trigger(b, e);
	if (!e->no_victim) {
		text_victim(b, e);
		text_writer(b, e);
		text_growth(b, e);
		text_stalls(b, e);
	}
	text_tasks(b, e);
	if (e->psi.valid)
		textbuf__format(b, "  pressure  some %.2f%%, full %.2f%% of the last 10s\n",
				e->psi.some.avg10, e->psi.full.avg10);
	if (e->profile[0]) {
		textbuf__format(b, "  profile   ");
		textbuf__plain(b, e->profile, "");
		textbuf__format(b, "\n");
	}
	if (e->from == OOM_FROM_KMSG)
		text_source(b, e);
	textbuf__format(b, "\n");
	return b->err;
}

int render__summary(struct textbuf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];
	bool limit = e->has_constraint && e->constraint == OOM_CONSTRAINT_MEMCG;

	if (e->no_victim) {
		textbuf__format(b, "OOM without a victim, ");
	} else {
		textbuf__format(b, "OOM kill: ");
		text_who(b, &e->victim);
		textbuf__format(b, " with %s anonymous memory, ",
				size_of(b1, e->victim.anon_rss_bytes));
	}
	if (e->memcg[0]) {
		textbuf__format(b, "cgroup ");
		textbuf__plain(b, e->memcg, "");
		textbuf__format(b, " at its limit of %s", size_of(b2, e->limit_bytes));
	} else if (e->by_daemon) {
		textbuf__format(b, "by ");
		text_who(b, &e->trigger);
	} else {
		textbuf__format(b, "%s",
				e->has_order && e->order < 0 ? "by hand (SysRq-f)"
				: limit			     ? "a cgroup at its limit"
				: !e->has_constraint	     ? "cause not told"
				: e->has_order && e->order > 0
					? "no contiguous pages on the machine"
					: "machine out of memory");
	}
	return b->err;
}
