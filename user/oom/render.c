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

int render__reserve(struct escape_buf *b)
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
	b->len = 0;
	b->text[0] = 0;
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

static int json_size(struct escape_buf *b, const char *key, uint64_t v)
{
	if (v == OOM_UNKNOWN || v == OOM_NO_LIMIT)
		return escape__format(b, ",\"%s\":null", key);
	return escape__format(b, ",\"%s\":%" PRIu64, key, v);
}

static int json_text(struct escape_buf *b, const char *key, const char *text)
{
	int err = escape__format(b, ",\"%s\":", key);

	if (err)
		return err;
	return *text ? escape__json(b, text) : escape__format(b, "null");
}

static int json_id(struct escape_buf *b, const char *key, uint32_t v)
{
	return v == UINT32_MAX ? escape__format(b, ",\"%s\":null", key)
			       : escape__format(b, ",\"%s\":%u", key, v);
}

static int json_writer(struct escape_buf *b, const struct oom_writer *w)
{
	int err;

	if (!w->pid)
		return escape__format(b, ",\"oom_score_adj_set\":null");
	err = escape__format(b, ",\"oom_score_adj_set\":{\"time_unix_ms\":%" PRId64 ",\"pid\":%u",
			     w->time_unix_ms, w->pid);
	err = err ? err : json_text(b, "comm", w->comm);
	return err ? err : escape__format(b, ",\"of_pid\":%u}", w->of);
}

static int json_victim(struct escape_buf *b, const struct oom_proc *p, const struct oom_writer *w)
{
	int err = escape__format(b, ",\"victim\":{\"pid\":%u,\"tid\":%u", p->pid, p->tid);

	err = err ? err : json_text(b, "comm", p->comm);
	err = err ? err : json_text(b, "cmdline", p->cmdline);
	err = err ? err : json_id(b, "uid", p->uid);
	err = err ? err : json_text(b, "cgroup", p->cgroup);
	err = err ? err : json_size(b, "total_vm_bytes", p->total_vm_bytes);
	err = err ? err : json_size(b, "anon_rss_bytes", p->anon_rss_bytes);
	err = err ? err : json_size(b, "file_rss_bytes", p->file_rss_bytes);
	err = err ? err : json_size(b, "shmem_rss_bytes", p->shmem_rss_bytes);
	err = err ? err : json_size(b, "swap_bytes", p->swap_bytes);
	err = err ? err : json_size(b, "pgtables_bytes", p->pgtables_bytes);
	if (!err && p->oom_score_adj == OOM_NO_ADJ)
		err = escape__format(b, ",\"oom_score_adj\":null");
	else if (!err)
		err = escape__format(b, ",\"oom_score_adj\":%d", p->oom_score_adj);
	err = err ? err : json_writer(b, w);
	return err ? err : escape__format(b, "}");
}

static int json_trigger(struct escape_buf *b, const struct oom_proc *p)
{
	int err;

	if (!p->pid && !p->comm[0])
		return escape__format(b, ",\"trigger\":null");
	err = p->pid ? escape__format(b, ",\"trigger\":{\"pid\":%u,\"tid\":%u", p->pid, p->tid)
		     : escape__format(b, ",\"trigger\":{\"pid\":null,\"tid\":null");
	err = err ? err : json_text(b, "comm", p->comm);
	err = err ? err : json_id(b, "uid", p->uid);
	err = err ? err : json_text(b, "cgroup", p->cgroup);
	return err ? err : escape__format(b, "}");
}

static int json_memcg(struct escape_buf *b, const struct oom_event *e)
{
	int err;

	if (!e->memcg[0])
		return escape__format(b, ",\"memcg\":null");
	err = escape__format(b, ",\"memcg\":{\"path\":");
	err = err ? err : escape__json(b, e->memcg);
	err = err ? err : json_size(b, "limit_bytes", e->limit_bytes);
	err = err ? err : json_size(b, "usage_bytes", e->usage_bytes);
	err = err ? err : json_size(b, "swap_limit_bytes", e->swap_limit_bytes);
	err = err ? err : json_size(b, "swap_usage_bytes", e->swap_usage_bytes);
	err = err ? err : json_size(b, "memsw_limit_bytes", e->memsw_limit_bytes);
	err = err ? err : json_size(b, "memsw_usage_bytes", e->memsw_usage_bytes);
	return err ? err : escape__format(b, "}");
}

/* What the memory of that group, or of the machine, was. */
static int json_stat(struct escape_buf *b, const struct oom_event *e)
{
	int err;

	if (!e->has_stat)
		return escape__format(b, ",\"stat\":null");
	err = escape__format(b, ",\"stat\":{\"from\":\"%s\"",
			     e->stat_from_kernel ? "kernel" : "later");
	for (size_t i = 0; i < CGROUP_STATS && !err; i++) {
		char key[64];

		snprintf(key, sizeof(key), "%s_bytes", cgroup_stat__name(i));
		err = json_size(b, key, e->stat.bytes[i]);
	}
	err = err ? err : escape__format(b, "},\"tmpfs\":[");
	for (size_t i = 0; i < e->ntmpfs && !err; i++) {
		err = escape__format(b, "%s{\"used_bytes\":%" PRIu64, i ? "," : "",
				     e->tmpfs[i].used_bytes);
		err = err ? err : json_text(b, "path", e->tmpfs[i].path);
		err = err ? err : escape__format(b, "}");
	}
	return err ? err : escape__format(b, "]");
}

static int json_tasks(struct escape_buf *b, const struct oom_event *e)
{
	int err = escape__format(b, ",\"tasks_from\":\"%s\",\"tasks\":[",
				 !e->ntasks		? "none"
				 : e->tasks_from_kernel ? "kernel"
							: "proc");

	for (size_t i = 0; i < e->ntasks && !err; i++) {
		const struct kmsg_task *t = &e->tasks[i];

		err = escape__format(b, "%s{\"pid\":%u", i ? "," : "", t->tgid);
		err = err ? err : json_text(b, "comm", t->comm);
		err = err ? err : json_id(b, "uid", t->uid);
		err = err ? err : json_size(b, "rss_bytes", t->rss_bytes);
		err = err ? err : json_size(b, "total_vm_bytes", t->total_vm_bytes);
		err = err ? err : json_size(b, "pgtables_bytes", t->pgtables_bytes);
		err = err ? err : json_size(b, "swap_bytes", t->swap_bytes);
		err = err ? err : escape__format(b, ",\"oom_score_adj\":%d}", t->oom_score_adj);
	}
	return err ? err : escape__format(b, "]");
}

static int json_psi(struct escape_buf *b, const struct psi *p)
{
	if (!p->valid)
		return escape__format(b, ",\"psi\":null");
	return escape__format(b,
			      ",\"psi\":{\"some\":{\"avg10\":%.2f,\"avg60\":%.2f,\"avg300\":%.2f,"
			      "\"total_us\":%" PRIu64 "},\"full\":{\"avg10\":%.2f,\"avg60\":%.2f,"
			      "\"avg300\":%.2f,\"total_us\":%" PRIu64 "}}",
			      p->some.avg10, p->some.avg60, p->some.avg300, p->some.total_us,
			      p->full.avg10, p->full.avg60, p->full.avg300, p->full.total_us);
}

static int json_stall(struct escape_buf *b, const char *key, const struct oom_stall *s, bool have,
		      bool frees)
{
	static const char *const window[OOM_WINDOWS] = {"last_10s", "last_60s"};
	int err;

	if (!have)
		return escape__format(b, "%s:null", key);
	err = escape__format(b, "%s:{", key);
	for (size_t i = 0; i < OOM_WINDOWS && !err; i++) {
		err = escape__format(b, "%s\"%s\":{\"count\":%" PRIu64 ",\"stall_us\":%" PRIu64,
				     i ? "," : "", window[i], s->cnt[i], s->ns[i] / 1000);
		if (!err && frees)
			err = escape__format(b, ",\"freed_bytes\":%" PRIu64, s->bytes[i]);
		err = err ? err : escape__format(b, "}");
	}
	return err ? err : escape__format(b, "}");
}

static int json_staller(struct escape_buf *b, const char *key, const struct oom_stalls *s,
			const struct oom_stall *reclaim, const struct oom_stall *compaction)
{
	int err = escape__format(b, ",\"%s\":{", key);

	err = err ? err : json_stall(b, "\"reclaim\"", reclaim, s->has_reclaim, true);
	err = err ? err : json_stall(b, ",\"compaction\"", compaction, s->has_compaction, false);
	return err ? err : escape__format(b, "}");
}

static int json_stalls(struct escape_buf *b, const struct oom_stalls *s)
{
	int err;

	if (!s->has_reclaim && !s->has_compaction)
		return escape__format(b, ",\"stalls\":null");
	err = escape__format(b, ",\"stalls\":{\"watched_s\":%u", s->watched_s);
	if (!err && s->group_path[0]) {
		err = escape__format(b, ",\"group\":{\"path\":");
		err = err ? err : escape__json(b, s->group_path);
		err = err ? err : json_stall(b, ",\"reclaim\"", &s->group, s->has_reclaim, true);
		err = err ? err : escape__format(b, "}");
	} else if (!err) {
		err = escape__format(b, ",\"group\":null");
	}
	err = err ? err : json_staller(b, "machine", s, &s->machine, &s->machine_compaction);
	err = err ? err : json_staller(b, "victim", s, &s->victim, &s->victim_compaction);
	err = err ? err : json_staller(b, "trigger", s, &s->trigger, &s->trigger_compaction);
	return err ? err : escape__format(b, "}");
}

static int json_timeline(struct escape_buf *b, const struct oom_event *e)
{
	int err = escape__format(b, ",\"growth_bytes_per_s\":%.0f,\"timeline\":[",
				 e->growth_bytes_per_s);

	for (size_t i = 0; i < e->npoints && !err; i++) {
		const struct oom_point *p = &e->timeline[i];

		err = escape__format(b,
				     "%s{\"time_unix_ms\":%" PRId64 ",\"virt_bytes\":%" PRIu64
				     ",\"rss_bytes\":%" PRIu64 ",\"rss_shared_bytes\":%" PRIu64 "}",
				     i ? "," : "", p->time_unix_ms, p->virt_bytes, p->rss_bytes,
				     p->shared_bytes);
	}
	return err ? err : escape__format(b, "]");
}

int render__json(struct escape_buf *b, const struct oom_event *e)
{
	char when[WHEN_LEN];
	int err = escape__format(b, "{\"schema\":\"memwatch.oom/1\"");

	if (!err && e->has_time)
		err = escape__format(b, ",\"time\":\"%s\",\"time_unix_ms\":%" PRId64,
				     when__utc(when, sizeof(when), e->time_unix_ms),
				     e->time_unix_ms);
	else if (!err)
		err = escape__format(b, ",\"time\":null,\"time_unix_ms\":null");
	if (!err && e->boot_us != OOM_UNKNOWN)
		err = escape__format(b, ",\"since_boot_s\":%.6f", (double)e->boot_us / 1e6);
	err = err ? err
		  : escape__format(b, ",\"source\":\"%s\"",
				   e->from == OOM_FROM_KMSG    ? "kmsg"
				   : e->from == OOM_FROM_PROBE ? "probe"
							       : "probe+kmsg");

	err = err ? err : json_size(b, "kmsg_seq", e->seq);
	err = err ? err : json_text(b, "boot_id", e->boot_id);
	err = err ? err
		  : escape__format(b, ",\"killer\":\"%s\"", e->by_daemon ? "daemon" : "kernel");
	err = err ? err : escape__format(b, ",\"signal\":%d", e->signal);
	err = err ? err : escape__format(b, ",\"group_kill\":%s", e->is_group ? "true" : "false");
	if (!err && e->no_victim)
		err = escape__format(b, ",\"victim\":null,\"repeats\":%u", e->repeats);
	else if (!err)
		err = json_victim(b, &e->victim, &e->score);
	if (!err && e->chosen_pid)
		err = escape__format(b, ",\"sacrificed_for_pid\":%u", e->chosen_pid);
	err = err ? err : json_trigger(b, &e->trigger);
	if (!err && e->has_constraint)
		err = escape__format(b, ",\"constraint\":\"%s\"",
				     render__constraint(e->constraint));
	else if (!err)
		err = escape__format(b, ",\"constraint\":null");
	if (!err && e->has_order)
		err = escape__format(b, ",\"order\":%d", e->order);
	err = err ? err : json_memcg(b, e);
	err = err ? err : json_stat(b, e);
	err = err ? err
		  : escape__format(b, ",\"machine\":{\"time_unix_ms\":%" PRId64, e->time_unix_ms);
	err = err ? err : json_size(b, "total_bytes", e->mem_total_bytes);
	err = err ? err : json_size(b, "free_bytes", e->mem_free_bytes);
	err = err ? err : json_size(b, "available_bytes", e->mem_available_bytes);
	err = err ? err : json_size(b, "swap_total_bytes", e->swap_total_bytes);
	err = err ? err : json_size(b, "swap_free_bytes", e->swap_free_bytes);
	if (!err)
		err = escape__format(b, ",\"free_from\":\"%s\"",
				     e->free_from_kernel ? "kernel" : "proc");
	err = err ? err : escape__format(b, "}");
	err = err ? err : json_tasks(b, e);
	err = err ? err : json_psi(b, &e->psi);
	err = err ? err : json_stalls(b, &e->stalls);
	err = err ? err : json_timeline(b, e);
	err = err ? err : json_text(b, "profile", e->profile);
	return err ? err : escape__format(b, "}\n");
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

static int text_who(struct escape_buf *b, const struct oom_proc *p)
{
	int err = escape__plain(b, p->comm[0] ? p->comm : "?", "");

	err = err      ? err
	      : p->pid ? escape__format(b, " (pid %u", p->pid)
		       : escape__format(b, " (pid unknown");
	if (!err && p->uid != UINT32_MAX)
		err = escape__format(b, ", uid %u", p->uid);
	return err ? err : escape__format(b, ")");
}

/* "1.20GB of 3.80GB free", with when that was read; nothing where it is not known. */
static int text_free(struct escape_buf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], b4[UNITS_LEN];
	int err;

	if (e->mem_free_bytes >= OOM_NO_LIMIT)
		return escape__format(b, "\n");
	err = escape__format(b, "; %s", size_of(b1, e->mem_free_bytes));
	if (!err && e->mem_total_bytes < OOM_NO_LIMIT)
		err = escape__format(b, " of %s", size_of(b2, e->mem_total_bytes));
	err = err ? err
		  : escape__format(b, " free%s",
				   e->free_from_kernel ? "" : ", read just after the kill");
	if (!err && e->swap_total_bytes < OOM_NO_LIMIT && e->swap_total_bytes)
		err = escape__format(b, ", swap %s of %s free", size_of(b3, e->swap_free_bytes),
				     size_of(b4, e->swap_total_bytes));
	return err ? err : escape__format(b, "\n");
}

/* Not a group's limit. Each sentence says no more than the record. */
static int text_wider_cause(struct escape_buf *b, const struct oom_event *e)
{
	int err;

	if (e->has_order && e->order < 0)
		err = escape__format(b, "the OOM killer was called by hand (SysRq-f)");
	else if (!e->has_constraint)
		err = escape__format(b,
				     e->from & OOM_FROM_KMSG
					     ? "no cgroup's limit; the kernel's log says no more"
					     : "not known: there is no line of the kernel's log, "
					       "and no group of the victim was at its limit");
	else if (e->constraint == OOM_CONSTRAINT_CPUSET)
		err = escape__format(b, "the cpuset's nodes ran out of memory");
	else if (e->constraint == OOM_CONSTRAINT_MEMPOLICY)
		err = escape__format(b, "the nodes of its memory policy ran out of memory");
	else if (e->has_order && e->order > 0)
		err = escape__format(b, "no %u contiguous pages were to be had on the machine",
				     1u << min_of(e->order, 30));
	else
		err = escape__format(b, "the machine ran out of memory");
	return err ? err : text_free(b, e);
}

static int text_cause(struct escape_buf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];
	int err;

	if (e->by_daemon)
		return escape__format(b, "  why       the OOM daemon sent signal %d\n", e->signal);
	err = escape__format(b, "  why       ");
	if (!e->memcg[0] && !(e->has_constraint && e->constraint == OOM_CONSTRAINT_MEMCG))
		return err ? err : text_wider_cause(b, e);
	if (!e->memcg[0])
		return err ? err
			   : escape__format(b, "a cgroup hit its limit; which one, the kernel's "
					       "log does not say\n");
	err = err ? err : escape__format(b, "cgroup ");
	err = err ? err : escape__plain(b, e->memcg, "");
	err = err ? err
		  : escape__format(b, " hit its limit: %s used of %s\n",
				   size_of(b1, e->usage_bytes), size_of(b2, e->limit_bytes));
	if (!err && e->memsw_limit_bytes < OOM_NO_LIMIT)
		err = escape__format(b, "            memory and swap: %s of %s\n",
				     size_of(b1, e->memsw_usage_bytes),
				     size_of(b2, e->memsw_limit_bytes));
	if (!err && e->swap_usage_bytes && e->swap_usage_bytes < OOM_NO_LIMIT)
		err = escape__format(b, "            swap: %s of %s\n",
				     size_of(b1, e->swap_usage_bytes),
				     size_of(b2, e->swap_limit_bytes));
	return err;
}

/* What the group's, or the machine's, memory was: rows that are not a part of another, the largest
 * first. */
static int text_stat(struct escape_buf *b, const struct oom_event *e)
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
	int err = 0;

	if (!e->has_stat)
		return 0;
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
		if (best == ARRAY_SIZE(rows) || err)
			break;
		told[best] = true;
		err = escape__format(b, "%s%s %s", first ? "  in it     " : ", ",
				     cgroup_stat__label(rows[best]),
				     size_of(b1, e->stat.bytes[rows[best]]));
		first = false;
	}
	if (first || err)
		return err;
	err = escape__format(b, "%s\n", e->stat_from_kernel ? "" : " (read just after the kill)");
	for (size_t i = 0; i < e->ntmpfs && !err; i++) {
		err = escape__format(b, "%s", i ? ", " : "            tmpfs mounts: ");
		err = err ? err : escape__plain(b, e->tmpfs[i].path, "");
		err = err ? err
			  : escape__format(b, " %s%s", size_of(b1, e->tmpfs[i].used_bytes),
					   i + 1 == e->ntmpfs ? "\n" : "");
	}
	return err;
}

static int text_victim(struct escape_buf *b, const struct oom_event *e)
{
	const struct oom_proc *v = &e->victim;
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], b4[UNITS_LEN], b5[UNITS_LEN],
		b6[UNITS_LEN];
	int err = 0;

	if (v->cmdline[0]) {
		err = escape__format(b, "  command   ");
		err = err ? err : escape__plain(b, v->cmdline, "");
		err = err ? err : escape__format(b, "\n");
	}
	if (!err && v->cgroup[0]) {
		err = escape__format(b, "  cgroup    ");
		err = err ? err : escape__plain(b, v->cgroup, "");
		err = err ? err : escape__format(b, "\n");
	}
	err = err ? err
		  : escape__format(b,
				   "  held      anon %s, file %s, shmem %s, swap %s, page tables "
				   "%s; VIRT "
				   "%s",
				   size_of(b1, v->anon_rss_bytes), size_of(b2, v->file_rss_bytes),
				   size_of(b3, v->shmem_rss_bytes), size_of(b4, v->swap_bytes),
				   size_of(b5, v->pgtables_bytes), size_of(b6, v->total_vm_bytes));
	if (!err && v->oom_score_adj != OOM_NO_ADJ)
		err = escape__format(b, "; oom_score_adj %d", v->oom_score_adj);
	return err ? err : escape__format(b, "\n");
}

static int text_writer(struct escape_buf *b, const struct oom_event *e)
{
	const struct oom_writer *w = &e->score;
	int64_t ago_ms = max_of(e->time_unix_ms - w->time_unix_ms, (int64_t)0);
	char ago[UNITS_LEN];
	int err;

	if (!w->pid)
		return 0;
	err = escape__format(b, "  score     oom_score_adj %d, set %s before by ",
			     e->victim.oom_score_adj,
			     units__time(ago, sizeof(ago), (uint64_t)ago_ms * 1000000));
	err = err ? err : escape__plain(b, w->comm[0] ? w->comm : "?", "");
	err = err ? err : escape__format(b, " (pid %u)", w->pid);
	if (!err && w->of != e->victim.pid)
		err = escape__format(b, " for its parent (pid %u)", w->of);
	else if (!err && w->pid == e->victim.pid)
		err = escape__format(b, ", the victim itself");
	return err ? err : escape__format(b, "\n");
}

static const char *stalled(char *buf, uint64_t ns)
{
	return ns && ns < 1000000 ? "under 1ms" : units__time(buf, UNITS_LEN, ns);
}

static int text_stalls(struct escape_buf *b, const struct oom_event *e)
{
	const struct oom_stalls *s = &e->stalls;
	const struct oom_stall *first = s->group_path[0] ? &s->group : &s->machine;
	/* The shorter window says more, if there is something in it. */
	size_t i = first->cnt[0] || s->machine.cnt[0] || s->machine_compaction.cnt[0] ? 0 : 1;
	uint32_t span = min_of(s->watched_s, (uint32_t)(i ? 60 : 10));
	char b1[UNITS_LEN], b2[UNITS_LEN];
	int err;

	if (!span || (!s->machine.cnt[i] && !s->machine_compaction.cnt[i]))
		return 0;
	err = escape__format(b, "  reclaim   in the %u s before, %s", span,
			     s->group_path[0] ? "in cgroup " : "on the machine");
	if (!err && s->group_path[0])
		err = escape__plain(b, s->group_path, "");
	err = err ? err
		  : escape__format(b, ": %" PRIu64 " direct reclaims, %s stalled, %s freed\n",
				   first->cnt[i], stalled(b1, first->ns[i]),
				   size_of(b2, first->bytes[i]));
	err = err ? err
		  : escape__format(b, "            by the victim %" PRIu64 ", %s", s->victim.cnt[i],
				   stalled(b1, s->victim.ns[i]));
	if (!err && e->trigger.pid != e->victim.pid)
		err = escape__format(b, "; by who asked %" PRIu64 ", %s", s->trigger.cnt[i],
				     stalled(b1, s->trigger.ns[i]));
	if (!err && s->group_path[0])
		err = escape__format(b, "; on the machine %" PRIu64 ", %s", s->machine.cnt[i],
				     stalled(b1, s->machine.ns[i]));
	if (!err && s->machine_compaction.cnt[i])
		err = escape__format(b, "; compaction %" PRIu64 " times, %s",
				     s->machine_compaction.cnt[i],
				     stalled(b1, s->machine_compaction.ns[i]));
	return err ? err : escape__format(b, "\n");
}

/*
 * How it came to what it held. A line from the first point to the last would call a jump a slope:
 * what counts is the last rise, from where it was last within a tenth of its lowest (flat) to the
 * end.
 */
static int text_growth(struct escape_buf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], span[UNITS_LEN], flat[UNITS_LEN];
	const struct oom_point *first = &e->timeline[0], *last, *from;
	uint64_t low = UINT64_MAX, high = 0, edge;
	int err;

	if (e->npoints < 2)
		return 0;
	last = &e->timeline[e->npoints - 1];
	for (const struct oom_point *p = first; p <= last; p++) {
		low = min_of(low, p->rss_bytes);
		high = max_of(high, p->rss_bytes);
	}
	if (last->time_unix_ms <= first->time_unix_ms)
		return 0;
	edge = low + (high - low) / 10;
	for (from = last; from > first && from->rss_bytes > edge; from--)
		;
	if (high - low <= high / 50)
		return escape__format(
			b, "  grew      not in the last %s: %s throughout\n",
			units__time(span, sizeof(span),
				    (uint64_t)(last->time_unix_ms - first->time_unix_ms) * 1000000),
			size_of(b1, last->rss_bytes));
	if (last->time_unix_ms <= from->time_unix_ms)
		from = first;
	err = escape__format(b, "  grew      ");
	if (!err && from > first && from->time_unix_ms - first->time_unix_ms > 1000)
		err = escape__format(
			b, "flat for %s, then ",
			units__time(flat, sizeof(flat),
				    (uint64_t)(from->time_unix_ms - first->time_unix_ms) *
					    1000000));
	return err ? err
		   : escape__format(
			     b, "from %s to %s in %s (%s/min)\n", size_of(b1, from->rss_bytes),
			     size_of(b2, last->rss_bytes),
			     units__time(span, sizeof(span),
					 (uint64_t)(last->time_unix_ms - from->time_unix_ms) *
						 1000000),
			     units__size(
				     b3, sizeof(b3),
				     llround(((double)last->rss_bytes - (double)from->rss_bytes) *
					     60000 /
					     (double)(last->time_unix_ms - from->time_unix_ms))));
}

static int text_tasks(struct escape_buf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];
	int err = 0;

	if (e->ntasks)
		err = escape__format(b, "  largest   %10s %10s %6s  %s\n", "RSS", "VIRT", "adj",
				     e->tasks_from_kernel
					     ? "pid and name, of those that could be chosen"
					     : "pid and name, just after the kill");
	for (size_t i = 0; i < e->ntasks && i < 8 && !err; i++) {
		const struct kmsg_task *t = &e->tasks[i];

		err = escape__format(b, "            %10s %10s %6d  %u ", size_of(b1, t->rss_bytes),
				     size_of(b2, t->total_vm_bytes), t->oom_score_adj, t->tgid);
		err = err ? err : escape__plain(b, t->comm, "");
		err = err ? err
			  : escape__format(b, "%s\n", t->pid == e->victim.tid ? "  (killed)" : "");
	}
	return err;
}

static int text_headline(struct escape_buf *b, const struct oom_event *e)
{
	char when[WHEN_LEN];
	int err = 0;

	if (e->has_time)
		err = escape__format(b, "%s", when__local(when, sizeof(when), e->time_unix_ms));
	else if (e->boot_us != OOM_UNKNOWN)
		err = escape__format(b, "%.6f s after the boot", (double)e->boot_us / 1e6);
	else
		err = escape__format(b, "time not known");
	if (!err && e->no_victim && e->repeats)
		return escape__format(b, "  OOM without a victim: %u more times\n", e->repeats);
	if (!err && e->no_victim)
		return escape__format(b, "  OOM without a victim: nobody could be killed\n");
	err = err ? err : escape__format(b, "  OOM kill: ");
	err = err ? err : text_who(b, &e->victim);
	if (!err && e->is_group)
		err = escape__format(b, ", with the rest of its group");
	if (!err && e->chosen_pid)
		err = escape__format(b, ", in place of its parent (pid %u)", e->chosen_pid);
	return err ? err : escape__format(b, "\n");
}

static int text_trigger(struct escape_buf *b, const struct oom_event *e)
{
	int err;

	if (!e->trigger.pid && !e->trigger.comm[0])
		return escape__format(b, "  asked by  not told\n");
	err = escape__format(b, "  asked by  ");
	err = err ? err : text_who(b, &e->trigger);
	if (!err && e->trigger.pid && e->trigger.pid == e->victim.pid) {
		err = escape__format(b, ", the victim itself");
	} else if (!err && e->trigger.cgroup[0]) {
		err = escape__format(b, " in ");
		err = err ? err : escape__plain(b, e->trigger.cgroup, "");
	}
	return err ? err : escape__format(b, "\n");
}

/* A log alone leaves gaps, which differ with the kernel and with how it was saved. */
static int text_source(struct escape_buf *b, const struct oom_event *e)
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
	int err = escape__format(b, "  source    the kernel's log alone");

	for (size_t i = 0; i < ARRAY_SIZE(gap) && !err; i++) {
		if (!gap[i].missing)
			continue;
		err = escape__format(b, "%s%s", sep, gap[i].what);
		sep = ", ";
	}
	return err ? err : escape__format(b, "\n");
}

int render__text(struct escape_buf *b, const struct oom_event *e)
{
	int err = text_headline(b, e);

	err = err ? err : text_cause(b, e);
	err = err ? err : text_stat(b, e);
	err = err ? err : text_trigger(b, e);
	if (!e->no_victim) {
		err = err ? err : text_victim(b, e);
		err = err ? err : text_writer(b, e);
		err = err ? err : text_growth(b, e);
		err = err ? err : text_stalls(b, e);
	}
	err = err ? err : text_tasks(b, e);
	if (!err && e->psi.valid)
		err = escape__format(b, "  pressure  some %.2f%%, full %.2f%% of the last 10s\n",
				     e->psi.some.avg10, e->psi.full.avg10);
	if (!err && e->profile[0]) {
		err = escape__format(b, "  profile   ");
		err = err ? err : escape__plain(b, e->profile, "");
		err = err ? err : escape__format(b, "\n");
	}
	if (!err && e->from == OOM_FROM_KMSG)
		err = text_source(b, e);
	return err ? err : escape__format(b, "\n");
}

int render__summary(struct escape_buf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];
	bool limit = e->has_constraint && e->constraint == OOM_CONSTRAINT_MEMCG;
	int err;

	if (e->no_victim) {
		err = escape__format(b, "OOM without a victim, ");
	} else {
		err = escape__format(b, "OOM kill: ");
		err = err ? err : text_who(b, &e->victim);
		err = err ? err
			  : escape__format(b, " with %s anonymous memory, ",
					   size_of(b1, e->victim.anon_rss_bytes));
	}
	if (!err && e->memcg[0]) {
		err = escape__format(b, "cgroup ");
		err = err ? err : escape__plain(b, e->memcg, "");
		err = err ? err
			  : escape__format(b, " at its limit of %s", size_of(b2, e->limit_bytes));
	} else if (!err && e->by_daemon) {
		err = escape__format(b, "by ");
		err = err ? err : text_who(b, &e->trigger);
	} else if (!err) {
		err = escape__format(b, "%s",
				     e->has_order && e->order < 0 ? "by hand (SysRq-f)"
				     : limit			  ? "a cgroup at its limit"
				     : !e->has_constraint	  ? "cause not told"
				     : e->has_order && e->order > 0
					     ? "no contiguous pages on the machine"
					     : "machine out of memory");
	}
	return err;
}
