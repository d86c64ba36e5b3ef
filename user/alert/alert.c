/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/alert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alert/tell.h"
#include "core/log.h"
#include "core/util.h"
#include "model/timeline.h"
#include "sys/cgroup.h"
#include "sys/meminfo.h"
#include "sys/psi.h"
#include "sys/statm.h"

#define TIMELINE_ROWS 1024

struct watched {
	int pid;
	char comm[32];
	char cgroup[CGROUP_PATH];
	struct cgroup_memory memory;
	struct rules_state state;
	struct told told[ALERT_RULES];
	struct timeline timeline;
};

struct alert {
	const struct alert_options *o;
	struct teller *teller;
	struct rules_state state; /* of the machine's rules */
	struct told told[ALERT_RULES];
	struct cgroup_mounts mounts;
	struct watched **procs;
	size_t nprocs, procs_cap;
	uint64_t due_ns;
};

int alert__new(const struct alert_options *o, struct jsonlog *log, alert_save_fn save, void *arg,
	       struct alert **ret, const char **ret_why)
{
	struct alert *a = calloc(1, sizeof(*a));
	struct psi psi;
	int err;

	*ret_why = "out of memory";
	if (!a)
		return -ENOMEM;
	if (o->rules.on[ALERT_PSI] && psi__machine(&psi))
		log_warn("this kernel gives no pressure stall information "
			 "(/proc/pressure/memory): --alert-psi cannot fire; continuing without");
	a->o = o;
	cgroup__mounts(&a->mounts);
	err = teller__new(o, log, save, arg, &a->teller, ret_why);
	if (err) {
		alert__free(a);
		return err;
	}
	*ret = a;
	return 0;
}

static void free_watched(struct watched *w)
{
	timeline__clear(&w->timeline);
	free(w);
}

void alert__free(struct alert *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nprocs; i++)
		free_watched(a->procs[i]);
	free(a->procs);
	teller__free(a->teller);
	free(a);
}

int alert__add(struct alert *a, int pid, const char *comm)
{
	struct watched *w;

	for (size_t i = 0; i < a->nprocs; i++) {
		if (a->procs[i]->pid == pid)
			return 0;
	}
	if (array_reserve(a->procs, a->procs_cap, a->nprocs + 1))
		return -ENOMEM;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->pid = pid;
	snprintf(w->comm, sizeof(w->comm), "%s", comm);
	timeline__init(&w->timeline, pid, comm, TIMELINE_ROWS);
	a->procs[a->nprocs++] = w;
	return 0;
}

/* --- looking --- */

/* The machine's part, the same for all processes. */
static void look_at_machine(struct rules_sample *x)
{
	struct psi psi;
	struct meminfo memory;

	memset(x, 0, sizeof(*x));
	x->t_s = (double)util__now_ns() / 1e9;
	x->cgroup_limit_bytes = RULES_NO_LIMIT;
	x->psi_some10 = x->psi_full10 = -1;
	if (!meminfo__read(&memory) && memory.available != MEMINFO_UNKNOWN) {
		x->machine_total_bytes = memory.total;
		x->machine_available_bytes = memory.available;
	}
	if (!psi__machine(&psi)) {
		x->psi_some10 = psi.some.avg10;
		x->psi_full10 = psi.full.avg10;
	}
}

static int look_at(struct alert *a, struct watched *w, struct rules_sample *x)
{
	struct timeline_row row = timeline__row(util__steady_ms());
	struct cgroup_stat stat;
	struct statm s;

	if (statm__read(w->pid, &s))
		return -ESRCH;
	x->rss_bytes = s.rss;
	row.value[TIMELINE_VIRT] = s.virt;
	row.value[TIMELINE_RSS] = s.rss;
	row.value[TIMELINE_RSS_ANON] = s.rss - min_of(s.rss, s.shared);
	timeline__append(&w->timeline, &row);
	if (!a->mounts.version || cgroup__of(&a->mounts, w->pid, w->cgroup, sizeof(w->cgroup)) ||
	    cgroup__tightest(&a->mounts, w->cgroup, &w->memory))
		return 0;
	if (w->memory.limit_bytes == CGROUP_NO_LIMIT)
		return 0;
	cgroup__stat(&a->mounts, w->memory.path, &stat);
	x->cgroup_limit_bytes = w->memory.limit_bytes;
	x->cgroup_reclaimable_bytes =
		min_of(cgroup_stat__reclaimable(&stat), w->memory.usage_bytes);
	x->cgroup_used_bytes = w->memory.usage_bytes - x->cgroup_reclaimable_bytes;
	return 0;
}

/* --- telling --- */

static void tell_changes(struct alert *a, const struct alert_subject *who, unsigned fires,
			 unsigned resolved, const struct rules_verdict *v,
			 const struct rules_sample *x)
{
	for (int r = 0; r < ALERT_RULES; r++) {
		if (fires & 1u << r)
			teller__begins(a->teller, who, r, &v[r], x);
		if (resolved & 1u << r)
			teller__ends(a->teller, who, r, &v[r], x);
	}
}

static struct alert_subject subject_of(struct watched *w)
{
	return (struct alert_subject){.pid = w->pid,
				      .comm = w->comm,
				      .cgroup = w->cgroup,
				      .limit_path = w->memory.path,
				      .timeline = &w->timeline,
				      .told = w->told};
}

static void remove_at(struct alert *a, size_t i)
{
	struct alert_subject who = subject_of(a->procs[i]);

	for (int r = 0; r < ALERT_RULES; r++)
		teller__ends(a->teller, &who, r, NULL, NULL);
	free_watched(a->procs[i]);
	a->procs[i] = a->procs[--a->nprocs];
}

void alert__remove(struct alert *a, int pid)
{
	for (size_t i = 0; i < a->nprocs; i++) {
		if (a->procs[i]->pid == pid) {
			remove_at(a, i);
			return;
		}
	}
}

void alert__keep(struct alert *a, bool (*lives)(void *arg, int pid), void *arg)
{
	for (size_t i = a->nprocs; i-- > 0;) {
		if (!lives(arg, a->procs[i]->pid))
			remove_at(a, i);
	}
}

/* The machine's rules, once for all processes; the largest of them is the evidence. */
static void step_machine(struct alert *a, const struct rules_sample *machine,
			 struct watched *largest, uint64_t rss)
{
	struct rules_verdict v[ALERT_RULES];
	struct rules_sample x = *machine;
	unsigned fires = rules__step_machine(&a->o->rules, &a->state, machine, v);
	struct alert_subject who = {.is_machine = true, .limit_path = "", .told = a->told};

	if (!largest || !(fires | a->state.resolved))
		return;
	who.pid = largest->pid;
	who.comm = largest->comm;
	who.cgroup = largest->cgroup;
	who.timeline = &largest->timeline;
	x.rss_bytes = rss;
	tell_changes(a, &who, fires, a->state.resolved, v, &x);
}

void alert__tick(struct alert *a)
{
	struct rules_verdict v[ALERT_RULES];
	struct watched *largest = NULL;
	struct rules_sample machine;
	uint64_t now = util__now_ns(), most = 0;

	teller__tick(a->teller);
	if (now < a->due_ns || !rules__any(&a->o->rules))
		return;
	a->due_ns = now + ALERT_INTERVAL_NS;
	look_at_machine(&machine);
	for (size_t i = 0; i < a->nprocs; i++) {
		struct watched *w = a->procs[i];
		struct rules_sample x = machine;
		struct alert_subject who = subject_of(w);
		unsigned fires;

		if (look_at(a, w, &x))
			continue;
		if (!largest || x.rss_bytes > most) {
			largest = w;
			most = x.rss_bytes;
		}
		fires = rules__step(&a->o->rules, &w->state, &x, v);
		tell_changes(a, &who, fires, w->state.resolved, v, &x);
	}
	step_machine(a, &machine, largest, most);
}

void alert__finish(struct alert *a)
{
	teller__finish(a->teller);
}
