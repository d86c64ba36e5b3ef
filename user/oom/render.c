/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/top_n.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "oom/growth.h"

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

const char *render__constraint(const struct oom_event *e)
{
	static const char *const name[] = {[OOM_CONSTRAINT_NONE] = "none",
					   [OOM_CONSTRAINT_CPUSET] = "cpuset",
					   [OOM_CONSTRAINT_MEMPOLICY] = "mempolicy",
					   [OOM_CONSTRAINT_MEMCG] = "memcg"};

	return e->has_constraint && (size_t)e->constraint < ARRAY_SIZE(name) ? name[e->constraint]
									     : NULL;
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

/* --- why: each sentence says no more than the record --- */

enum cause {
	CAUSE_DAEMON,
	CAUSE_GROUP,
	CAUSE_SOME_GROUP,
	CAUSE_BY_HAND,
	CAUSE_UNTOLD,
	CAUSE_NO_GROUP,
	CAUSE_NOT_KNOWN,
	CAUSE_CPUSET,
	CAUSE_MEMPOLICY,
	CAUSE_ORDER,
	CAUSE_MACHINE,
};

static enum cause cause_of(const struct oom_event *e)
{
	if (e->by_daemon)
		return CAUSE_DAEMON;
	if (e->memcg[0])
		return CAUSE_GROUP;
	if (e->has_constraint && e->constraint == OOM_CONSTRAINT_MEMCG)
		return CAUSE_SOME_GROUP;
	if (e->has_order && e->order < 0)
		return CAUSE_BY_HAND;
	if (!e->has_constraint && e->no_victim)
		return CAUSE_UNTOLD;
	if (!e->has_constraint)
		return e->from & OOM_FROM_KMSG ? CAUSE_NO_GROUP : CAUSE_NOT_KNOWN;
	if (e->constraint == OOM_CONSTRAINT_CPUSET)
		return CAUSE_CPUSET;
	if (e->constraint == OOM_CONSTRAINT_MEMPOLICY)
		return CAUSE_MEMPOLICY;
	return e->has_order && e->order > 0 ? CAUSE_ORDER : CAUSE_MACHINE;
}

/* In the report and in the summary. */
static const struct {
	const char *sentence, *phrase;
} cause_words[] = {
	[CAUSE_SOME_GROUP] = {"a cgroup hit its limit; which one, the kernel's log does not say",
			      "a cgroup at its limit"},
	[CAUSE_BY_HAND] = {"the OOM killer was called by hand (SysRq-f)", "by hand (SysRq-f)"},
	[CAUSE_UNTOLD] = {"the kernel's log does not say", "cause not told"},
	[CAUSE_NO_GROUP] = {"no cgroup's limit; the kernel's log says no more",
			    "no cgroup's limit, cause not told"},
	[CAUSE_NOT_KNOWN] = {"not known: there is no line of the kernel's log, and no group of the "
			     "victim was at its limit",
			     "cause not known"},
	[CAUSE_CPUSET] = {"the cpuset's nodes ran out of memory", "a cpuset's nodes out of memory"},
	[CAUSE_MEMPOLICY] = {"the nodes of its memory policy ran out of memory",
			     "the nodes of a memory policy out of memory"},
	[CAUSE_MACHINE] = {"the machine ran out of memory", "machine out of memory"},
};

static uint32_t pages_asked_for(const struct oom_event *e)
{
	return 1u << min_of(e->order, 30);
}

static void text_group(struct textbuf *b, const struct oom_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];

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

static void text_cause(struct textbuf *b, const struct oom_event *e)
{
	enum cause c = cause_of(e);

	textbuf__format(b, "  why       ");
	switch (c) {
	case CAUSE_DAEMON: textbuf__format(b, "the OOM daemon sent signal %d\n", e->signal); return;
	case CAUSE_GROUP: text_group(b, e); return;
	case CAUSE_ORDER:
		textbuf__format(b, "no %u contiguous pages were to be had on the machine",
				pages_asked_for(e));
		break;
	default: textbuf__str(b, cause_words[c].sentence); break;
	}
	if (c == CAUSE_SOME_GROUP)
		textbuf__str(b, "\n");
	else
		text_free(b, e);
}

static void summary_cause(struct textbuf *b, const struct oom_event *e)
{
	enum cause c = cause_of(e);
	char b1[UNITS_LEN];

	switch (c) {
	case CAUSE_DAEMON:
		textbuf__format(b, "by ");
		text_who(b, &e->trigger);
		break;
	case CAUSE_GROUP:
		textbuf__format(b, "cgroup ");
		textbuf__plain(b, e->memcg, "");
		textbuf__format(b, " at its limit");
		if (e->limit_bytes < OOM_NO_LIMIT)
			textbuf__format(b, " of %s", size_of(b1, e->limit_bytes));
		break;
	case CAUSE_ORDER:
		textbuf__format(b, "no %u contiguous pages on the machine", pages_asked_for(e));
		break;
	default: textbuf__str(b, cause_words[c].phrase); break;
	}
}

/* Locked, or in a ramfs: what of it no other row has. Locked anonymous memory is in "anon", where
 * all page cache is told, and with it what of it is on no list of reclaim. */
static uint64_t unevictable_alone(const struct cgroup_stat *s)
{
	static const enum cgroup_stat_row elsewhere[] = {CGROUP_STAT_SHMEM, CGROUP_STAT_ACTIVE_FILE,
							 CGROUP_STAT_INACTIVE_FILE};
	uint64_t v = s->bytes[CGROUP_STAT_UNEVICTABLE], left = s->bytes[CGROUP_STAT_FILE];

	if (v == CGROUP_STAT_UNKNOWN || left == CGROUP_STAT_UNKNOWN)
		return v;
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		uint64_t other = s->bytes[elsewhere[i]];

		if (other != CGROUP_STAT_UNKNOWN)
			left -= min_of(other, left);
	}
	return min_of(v, left);
}

/* Of memory.stat's "kernel", a sum, nothing is told where its parts are. */
static uint64_t stat_told(const struct cgroup_stat *s, enum cgroup_stat_row row)
{
	if (row == CGROUP_STAT_UNEVICTABLE)
		return unevictable_alone(s);
	if (row == CGROUP_STAT_KERNEL &&
	    s->bytes[CGROUP_STAT_SLAB_UNRECLAIMABLE] != CGROUP_STAT_UNKNOWN)
		return CGROUP_STAT_UNKNOWN;
	return s->bytes[row];
}

struct stat_part {
	enum cgroup_stat_row row;
	uint64_t bytes;
};

static int by_bytes(const void *a, const void *b)
{
	const struct stat_part *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* What the group's, or the machine's, memory was: parts that are not in another, the largest
 * first. */
static void text_stat(struct textbuf *b, const struct oom_event *e)
{
	struct stat_part part[CGROUP_STATS];
	char b1[UNITS_LEN];
	size_t n = 0;

	for (size_t row = 0; e->has_stat && row < CGROUP_STATS; row++) {
		struct stat_part p = {row, stat_told(&e->stat, row)};

		if (row != CGROUP_STAT_FILE && p.bytes && p.bytes != CGROUP_STAT_UNKNOWN)
			n = top_n__insert(part, n, CGROUP_STATS, sizeof(p), &p, by_bytes);
	}
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		textbuf__format(b, "%s%s %s", i ? ", " : "  in it     ",
				cgroup_stat__label(part[i].row), size_of(b1, part[i].bytes));
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
		growth__text(b, e->timeline, e->npoints);
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
	char b1[UNITS_LEN];

	if (e->no_victim) {
		textbuf__format(b, "OOM without a victim, ");
		if (e->repeats)
			textbuf__format(b, "%u more times, ", e->repeats);
	} else {
		textbuf__format(b, "OOM kill: ");
		text_who(b, &e->victim);
		if (e->victim.anon_rss_bytes != OOM_UNKNOWN)
			textbuf__format(b, " with %s anonymous memory",
					size_of(b1, e->victim.anon_rss_bytes));
		textbuf__format(b, ", ");
	}
	summary_cause(b, e);
	return b->err;
}
