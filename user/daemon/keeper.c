/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/keeper.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/target.h"
#include "snapshot/runtimes.h"

#define STEP_MS 950 /* a second, less what timers are late */

struct keeper {
	struct history *history;
	int64_t last_ms;
	const struct table *table; /* of the last pass; NULL: there was none */
	struct history_row *row;
	size_t cap;
	bool failed; /* told */
};

int keeper__new(const char *dir, const struct history_opts *o, struct keeper **ret)
{
	struct keeper *k = calloc(1, sizeof(*k));
	char why[HISTORY_WHY] = "";
	int err;

	if (!k)
		return -ENOMEM;
	err = history__create(dir, o, &k->history, why);
	if (err == -EBADMSG) {
		log_error("the history in '%s' cannot be used: %s; it is moved aside and a new one "
			  "begun",
			  dir, why);
		err = history__set_aside(dir);
		if (!err)
			err = history__create(dir, o, &k->history, why);
	}
	if (err) {
		log_error("failed to open the history in '%s': %s", dir,
			  *why ? why : strerror(-err));
		free(k);
		return err;
	}
	*ret = k;
	return 0;
}

void keeper__free(struct keeper *k)
{
	if (!k)
		return;
	history__close(k->history);
	free(k->row);
	free(k);
}

struct history *keeper__history(struct keeper *k)
{
	return k ? k->history : NULL;
}

/* What happened to the last writing, told when it changes. */
static void tell(struct keeper *k, int err)
{
	if (err && !k->failed)
		log_error("failed to write the history: %s; continuing without, and trying again",
			  strerror(-err));
	if (!err && k->failed)
		log_info("writing the history works again");
	k->failed = err != 0;
}

/* --- passes --- */

/* The highest RSS since the last pass that was kept: there may have been others in between. */
static void note_peaks(const struct table *t, struct roster *r)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct mw_task_row *row = &t->proc[i]->row;
		uint64_t peak = mw_task_row__rss(row);

		if (row->flags & MW_TASK_PEAK)
			peak = max_of(peak, t->proc[i]->interval_peak_bytes);
		r->e[i].peak_bytes = max_of(r->e[i].peak_bytes, peak);
	}
}

static void fill_row(const struct table_proc *p, struct roster_entry *e, struct history_row *ret)
{
	const struct mw_task_row *row = &p->row;

	*ret = (struct history_row){.pid = row->tgid,
				    .start_ns = row->start_ns,
				    .uid = row->uid,
				    .comm = p->comm,
				    .command = p->cmdline,
				    .cgroup = p->cgroup};
	ret->value[TIMELINE_VIRT] = (int64_t)row->virt_bytes;
	ret->value[TIMELINE_RSS] = (int64_t)mw_task_row__rss(row);
	ret->value[TIMELINE_RSS_ANON] = (int64_t)row->anon_bytes;
	ret->value[TIMELINE_RSS_FILE] = (int64_t)row->file_bytes;
	ret->value[TIMELINE_RSS_SHMEM] = (int64_t)row->shmem_bytes;
	ret->value[TIMELINE_SWAP] = (int64_t)row->swap_bytes;
	for (int i = TIMELINE_INUSE; i < HISTORY_VALUES; i++)
		ret->value[i] = TIMELINE_UNKNOWN;
	ret->value[HISTORY_PEAK_RSS] = (int64_t)e->peak_bytes;
	e->peak_bytes = 0;
}

/* As it was last read. */
static void fill_ledger(const struct ledger *l, struct history_row *ret)
{
	for (int k = 0; l && k < LEDGER_KINDS; k++) {
		const struct ledger_line *line = &l->line[k];

		if (line->rss_bytes > 0 || line->virt_bytes)
			ret->value[HISTORY_LEDGER + k] = max_of(line->rss_bytes, (int64_t)0);
	}
}

static void fill_heap(struct deep *d, struct history_row *ret)
{
	const struct deep_process *p = deep__find(d, (struct deep_id){ret->pid, ret->start_ns});
	struct runtimes_numbers n;

	if (!p || p->ended)
		return;
	deep__numbers(d, p, &n);
	if (!isnan(n.inuse_bytes))
		ret->value[TIMELINE_INUSE] = (int64_t)max_of(n.inuse_bytes, 0.0);
	ret->value[TIMELINE_ALLOC] = (int64_t)n.alloc_bytes;
	fill_ledger(deep__ledger(d, p), ret);
}

static void fill_machine(const struct machine *m, int64_t ret[HISTORY_MACHINE_VALUES])
{
	ret[HISTORY_MEM_TOTAL] = (int64_t)m->total_bytes;
	ret[HISTORY_MEM_AVAILABLE] = (int64_t)m->available_bytes;
	ret[HISTORY_SWAP_TOTAL] = (int64_t)m->swap_total_bytes;
	ret[HISTORY_SWAP_FREE] = (int64_t)m->swap_free_bytes;
	ret[HISTORY_PSI_SOME] = m->has_psi ? (int64_t)(m->some_avg10 * 100) : TIMELINE_UNKNOWN;
	ret[HISTORY_PSI_FULL] = m->has_psi ? (int64_t)(m->full_avg10 * 100) : TIMELINE_UNKNOWN;
}

void keeper__pass(struct keeper *k, const struct table *t, struct roster *r,
		  const struct machine *m, struct deep *d)
{
	int64_t machine[HISTORY_MACHINE_VALUES], now = util__wall_ms();
	size_t n = 0;

	if (!k)
		return;
	k->table = t;
	note_peaks(t, r);
	if (now >= k->last_ms && now - k->last_ms < STEP_MS)
		return;
	k->last_ms = now;
	if (array_reserve(k->row, k->cap, t->n + 1))
		return;
	for (size_t i = 0; i < t->n; i++) {
		if (t->proc[i]->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM))
			continue;
		fill_row(t->proc[i], &r->e[i], &k->row[n]);
		fill_heap(d, &k->row[n++]);
	}
	fill_machine(m, machine);
	tell(k, history__pass(k->history, now, machine, k->row, n));
}

/* --- profiles and events --- */

/* Its names may be written with this row, for good; a recording keeps its RSS and VIRT. The names
 * are those that it has where no pass has seen it. */
static struct history_row row_of(const struct keeper *k, struct deep_id id, const char *comm,
				 const char *command)
{
	const struct table_proc *of = k->table ? table__find(k->table, id.pid) : NULL;
	struct history_row row = {
		.pid = id.pid, .start_ns = id.start_ns, .comm = comm, .command = command};

	for (int i = 0; i < HISTORY_VALUES; i++)
		row.value[i] = TIMELINE_UNKNOWN;
	if (of && of->row.start_ns == id.start_ns) {
		row.uid = of->row.uid;
		row.comm = of->comm;
		row.command = of->cmdline;
		row.cgroup = of->cgroup;
		row.value[TIMELINE_VIRT] = (int64_t)of->row.virt_bytes;
		row.value[TIMELINE_RSS] = (int64_t)mw_task_row__rss(&of->row);
	}
	return row;
}

static int64_t keep(struct keeper *k, const struct history_row *row, const struct profile *profile,
		    const char *why)
{
	int64_t id = 0;
	int err = history__profile(k->history, row, profile, why, &id);

	tell(k, err);
	return err ? 0 : id;
}

int64_t keeper__profile(struct keeper *k, const struct deep_process *p,
			const struct profile *profile, const char *why)
{
	struct history_row row;

	if (!k)
		return 0;
	row = row_of(k, p->id, p->target->comm, p->target->cmdline);
	return keep(k, &row, profile, why);
}

/* The start as the passes have it: that of a kernel's log is cut to clock ticks. */
static struct deep_id as_seen(const struct keeper *k, struct deep_id id)
{
	const struct table_proc *of = k->table ? table__find(k->table, id.pid) : NULL;
	int64_t apart = of && id.start_ns ? (int64_t)(of->row.start_ns - id.start_ns) : 0;

	if (of && apart <= DEEP_START_NS && apart >= -DEEP_START_NS)
		id.start_ns = of->row.start_ns;
	return id;
}

int64_t keeper__stranger(struct keeper *k, struct deep_id id, const char *comm,
			 const struct profile *profile, const char *why)
{
	struct history_row row;

	if (!k)
		return 0;
	id = as_seen(k, id);
	row = row_of(k, id, comm, NULL);
	return id.start_ns ? keep(k, &row, profile, why) : 0;
}

void keeper__end(struct keeper *k, const struct deep_process *p)
{
	if (k)
		history__profile_end(k->history, p->id.pid, p->id.start_ns);
}

void keeper__event(struct keeper *k, const char *kind, int64_t time_unix_ms, uint32_t pid,
		   const char *comm, const char *json, size_t len, int64_t profile)
{
	if (k)
		tell(k,
		     history__event(k->history, kind, time_unix_ms, pid, comm, json, len, profile));
}

void keeper__stats(struct keeper *k, struct history_stats *ret)
{
	*ret = (struct history_stats){0};
	if (k)
		history__stats(k->history, ret);
}

int keeper__process(struct keeper *k, struct deep_id id, int64_t unix_ms, int64_t *ret_process)
{
	if (!k)
		return -ENOSYS;
	return id.start_ns ? history__find_living(k->history, id.pid, id.start_ns, ret_process)
			   : history__find(k->history, id.pid, 0, unix_ms, ret_process);
}

int keeper__read_profile(struct keeper *k, struct deep_id id, int64_t until_ms, int64_t at_ms,
			 struct profile **ret)
{
	int64_t process, snapshot;
	int err = keeper__process(k, id, until_ms, &process);

	if (!err)
		err = history__snapshot_at(k->history, process, at_ms, &snapshot);
	return err ? err : history__read_profile(k->history, snapshot, ret);
}
