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
#include "sys/pidref.h"
#include "sys/psi.h"
#include "sys/statm.h"

#define TIMELINE_ROWS 1024

static const char process_ended[] = "the process has ended";
static const char process_left[] = "it is not watched any more";
static const char group_left[] = "none of its processes is watched any more";
static const char rule_gone[] = "the rule is not in force any more";

struct watched {
	int pid;
	struct pidref process; /* and nobody who has its number later */
	char comm[32];
	char cgroup[CGROUP_PATH];
	struct rules_state state;
	struct told told[ALERT_RULES];
	struct timeline timeline;
};

/* A group on the way from a process's to the root. What was told outlives its processes. */
struct watched_group {
	struct cgroup_memory memory;
	struct rules_state *state; /* NULL: it has had no limit yet */
	struct told told[ALERT_RULES];
	uint64_t looked_ns; /* the tick in which it was looked at last */
	/* the largest of its processes then; the pointer is of that tick */
	struct watched *largest;
	uint64_t rss;
	int pid;
	char comm[32];
};

struct alert {
	const struct alert_options *o;
	struct teller *teller;
	struct rules_state state; /* of the machine's rules */
	struct told told[ALERT_RULES];
	struct cgroup_mounts mounts;
	struct watched **procs;
	size_t nprocs, procs_cap;
	struct watched_group **groups;
	size_t ngroups, groups_cap;
	uint64_t now_ns, due_ns; /* of this tick, and the next */
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
	pidref__close(&w->process);
	timeline__clear(&w->timeline);
	free(w);
}

static void free_group(struct watched_group *g)
{
	free(g->state);
	free(g);
}

void alert__free(struct alert *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nprocs; i++)
		free_watched(a->procs[i]);
	for (size_t i = 0; i < a->ngroups; i++)
		free_group(a->groups[i]);
	free(a->procs);
	free(a->groups);
	teller__free(a->teller);
	free(a);
}

static size_t index_of(const struct alert *a, int pid)
{
	size_t i = 0;

	while (i < a->nprocs && a->procs[i]->pid != pid)
		i++;
	return i;
}

static void remove_at(struct alert *a, size_t i);

int alert__add(struct alert *a, int pid, uint64_t start_ns, const char *comm)
{
	size_t i = index_of(a, pid);
	struct watched *w;
	int err;

	if (i < a->nprocs && pidref__is_there(&a->procs[i]->process))
		return 0;
	if (i < a->nprocs)
		remove_at(a, i);
	if (array_reserve(a->procs, a->procs_cap, a->nprocs + 1))
		return -ENOMEM;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	err = pidref__open(pid, start_ns, &w->process);
	if (err) {
		free(w);
		return err;
	}
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

static struct watched_group *find_group(const struct alert *a, const char *path)
{
	for (size_t i = 0; i < a->ngroups; i++) {
		if (!strcmp(a->groups[i]->memory.path, path))
			return a->groups[i];
	}
	return NULL;
}

static struct watched_group *add_group(struct alert *a, const char *path)
{
	struct watched_group *g;

	if (array_reserve(a->groups, a->groups_cap, a->ngroups + 1))
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	strcpy(g->memory.path, path);
	return a->groups[a->ngroups++] = g;
}

/* Once a tick. */
static void read_group(struct alert *a, struct watched_group *g)
{
	if (g->looked_ns == a->now_ns)
		return;
	g->looked_ns = a->now_ns;
	g->largest = NULL;
	if (cgroup__memory(&a->mounts, g->memory.path, &g->memory))
		g->memory.limit_bytes = CGROUP_NO_LIMIT;
	if (!g->state && g->memory.limit_bytes != CGROUP_NO_LIMIT)
		g->state = calloc(1, sizeof(*g->state));
}

static void put_limit(const struct watched_group *g, struct rules_sample *x)
{
	x->cgroup_limit_bytes = g->memory.limit_bytes;
	x->cgroup_reclaimable_bytes = g->memory.reclaimable_bytes;
	x->cgroup_used_bytes = g->memory.usage_bytes - g->memory.reclaimable_bytes;
}

/* All groups that a process is in; the one with the lowest limit, NULL: none has any. */
static const struct watched_group *look_at_groups(struct alert *a, struct watched *w, uint64_t rss)
{
	const struct watched_group *lowest = NULL;
	char path[CGROUP_PATH];

	if (!*w->cgroup)
		return NULL;
	strcpy(path, w->cgroup);
	do {
		struct watched_group *g = find_group(a, path);

		g = g ? g : add_group(a, path);
		if (!g)
			continue;
		read_group(a, g);
		if (!g->largest || rss > g->rss) {
			g->largest = w;
			g->rss = rss;
			g->pid = w->pid;
			memcpy(g->comm, w->comm, sizeof(g->comm));
		}
		if (g->memory.limit_bytes != CGROUP_NO_LIMIT &&
		    (!lowest || g->memory.limit_bytes < lowest->memory.limit_bytes))
			lowest = g;
	} while (cgroup__up(path));
	return lowest;
}

static int look_at(const struct alert *a, struct watched *w, struct rules_sample *x)
{
	struct timeline_row row = timeline__row(util__steady_ms());
	char cgroup[CGROUP_PATH];
	struct statm s;

	if (!a->mounts.version || cgroup__of(&a->mounts, w->pid, cgroup, sizeof(cgroup)))
		*cgroup = 0;
	/* asked after the reading: then what was read is its own */
	if (statm__read(w->pid, &s) || !pidref__is_there(&w->process))
		return -ESRCH;
	strcpy(w->cgroup, cgroup);
	x->rss_bytes = s.rss;
	row.value[TIMELINE_VIRT] = s.virt;
	row.value[TIMELINE_RSS] = s.rss;
	row.value[TIMELINE_RSS_ANON] = s.rss - min_of(s.rss, s.shared);
	timeline__append(&w->timeline, &row);
	return 0;
}

/* --- whom a case is about --- */

static struct alert_subject process_subject(struct watched *w, const struct watched_group *lowest)
{
	return (struct alert_subject){.scope = RULES_PROCESS,
				      .pid = w->pid,
				      .comm = w->comm,
				      .cgroup = w->cgroup,
				      .limit_path = lowest ? lowest->memory.path : "",
				      .timeline = &w->timeline,
				      .told = w->told};
}

static struct alert_subject group_subject(struct watched_group *g, struct timeline *timeline)
{
	return (struct alert_subject){.scope = RULES_GROUP,
				      .pid = g->pid,
				      .comm = g->comm,
				      .cgroup = g->memory.path,
				      .limit_path = g->memory.path,
				      .timeline = timeline,
				      .told = g->told};
}

static struct alert_subject machine_subject(struct alert *a, struct watched *largest)
{
	return (struct alert_subject){.scope = RULES_MACHINE,
				      .pid = largest ? largest->pid : 0,
				      .comm = largest ? largest->comm : "",
				      .cgroup = largest ? largest->cgroup : "",
				      .limit_path = "",
				      .timeline = largest ? &largest->timeline : NULL,
				      .told = a->told};
}

/* --- telling --- */

static void step(struct alert *a, struct rules_state *s, const struct rules_sample *x,
		 const struct alert_subject *who)
{
	struct rules_verdict v[ALERT_RULES];
	unsigned fires = rules__step(&a->o->rules, who->scope, s, x, v);

	for (int r = 0; r < ALERT_RULES; r++) {
		if (fires & 1u << r)
			teller__begins(a->teller, who, r, &v[r], x);
		else if (s->rule[r].firing)
			teller__lasts(a->teller, who, r, &v[r], x);
		if (s->resolved & 1u << r)
			teller__ends(a->teller, who, r, &v[r], x);
	}
}

/* on: rules for which nothing changes; NULL: none. */
static void drop_rules(struct alert *a, const struct alert_subject *who, struct rules_state *s,
		       const bool *on, const char *why)
{
	for (int r = 0; r < ALERT_RULES; r++) {
		if (on && on[r])
			continue;
		teller__drops(a->teller, who, r, why);
		if (s)
			memset(&s->rule[r], 0, sizeof(s->rule[r]));
	}
}

static void drop_all_rules(struct alert *a, const bool *on)
{
	struct alert_subject who;

	for (size_t i = 0; i < a->nprocs; i++) {
		who = process_subject(a->procs[i], NULL);
		drop_rules(a, &who, &a->procs[i]->state, on, rule_gone);
	}
	for (size_t i = 0; i < a->ngroups; i++) {
		who = group_subject(a->groups[i], NULL);
		drop_rules(a, &who, a->groups[i]->state, on, rule_gone);
	}
	who = machine_subject(a, NULL);
	drop_rules(a, &who, &a->state, on, rule_gone);
}

void alert__use(struct alert *a, const struct alert_options *o)
{
	teller__use(a->teller, o);
	a->o = o;
	drop_all_rules(a, o->rules.on);
}

void alert__drop(struct alert *a)
{
	drop_all_rules(a, NULL);
}

/* --- who is not watched any more --- */

static bool has_member(const struct alert *a, const struct watched_group *g)
{
	size_t len = strlen(g->memory.path);

	if (len == 1) /* the root */
		return a->nprocs;
	for (size_t i = 0; i < a->nprocs; i++) {
		const char *path = a->procs[i]->cgroup;

		if (!strncmp(path, g->memory.path, len) && (!path[len] || path[len] == '/'))
			return true;
	}
	return false;
}

/* Whether a cooldown is still to be kept. */
static bool is_remembered(const struct alert *a, const struct watched_group *g)
{
	for (int r = 0; r < ALERT_RULES; r++) {
		if (g->told[r].last_ns && util__now_ns() - g->told[r].last_ns < a->o->cooldown_ns)
			return true;
	}
	return false;
}

static void sweep_groups(struct alert *a)
{
	for (size_t i = a->ngroups; i-- > 0;) {
		struct watched_group *g = a->groups[i];
		struct alert_subject who = group_subject(g, NULL);

		if (has_member(a, g))
			continue;
		drop_rules(a, &who, NULL, NULL, group_left);
		free(take_ptr(g->state));
		if (is_remembered(a, g))
			continue;
		free_group(g);
		a->groups[i] = a->groups[--a->ngroups];
	}
}

static void remove_at(struct alert *a, size_t i)
{
	struct alert_subject who = process_subject(a->procs[i], NULL);
	bool lives = pidref__is_there(&a->procs[i]->process);

	drop_rules(a, &who, NULL, NULL, lives ? process_left : process_ended);
	free_watched(a->procs[i]);
	a->procs[i] = a->procs[--a->nprocs];
	sweep_groups(a);
}

void alert__remove(struct alert *a, int pid)
{
	size_t i = index_of(a, pid);

	if (i < a->nprocs)
		remove_at(a, i);
}

void alert__keep(struct alert *a, bool (*lives)(void *arg, int pid), void *arg)
{
	for (size_t i = a->nprocs; i-- > 0;) {
		if (!lives(arg, a->procs[i]->pid))
			remove_at(a, i);
	}
}

/* --- what is known --- */

static size_t fires(const struct rules_state *s, enum alert_rule r)
{
	return s && s->rule[r].firing;
}

enum alert_look alert__look(const struct alert *a, int pid)
{
	size_t i = index_of(a, pid);

	if (i == a->nprocs)
		return ALERT_UNWATCHED;
	for (int r = 0; r < ALERT_RULES; r++) {
		if (fires(&a->procs[i]->state, r))
			return ALERT_FIRING;
	}
	return ALERT_WATCHED;
}

bool alert__is_busy(const struct alert *a)
{
	return a->nprocs || a->ngroups || rules__any_of(&a->o->rules, RULES_MACHINE);
}

void alert__numbers(const struct alert *a, enum alert_rule rule, struct alert_numbers *ret)
{
	ret->told = teller__told(a->teller, rule);
	ret->firing = fires(&a->state, rule);
	for (size_t i = 0; i < a->nprocs; i++)
		ret->firing += fires(&a->procs[i]->state, rule);
	for (size_t i = 0; i < a->ngroups; i++)
		ret->firing += fires(a->groups[i]->state, rule);
}

/* --- a tick --- */

/* The largest process is the evidence. */
static void step_groups(struct alert *a, const struct rules_sample *machine)
{
	for (size_t i = 0; i < a->ngroups; i++) {
		struct watched_group *g = a->groups[i];
		struct rules_sample x = *machine;
		struct alert_subject who;

		if (g->looked_ns != a->now_ns || !g->state || !g->largest)
			continue;
		if (g->memory.limit_bytes != CGROUP_NO_LIMIT)
			put_limit(g, &x);
		x.rss_bytes = g->rss;
		who = group_subject(g, &g->largest->timeline);
		step(a, g->state, &x, &who);
	}
}

/* Once for all processes, and where none is watched; the largest is the evidence. */
static void step_machine(struct alert *a, const struct rules_sample *machine,
			 struct watched *largest, uint64_t rss)
{
	struct alert_subject who = machine_subject(a, largest);
	struct rules_sample x = *machine;

	x.rss_bytes = rss;
	step(a, &a->state, &x, &who);
}

/* Returns whether it is there. */
static bool step_process(struct alert *a, struct watched *w, const struct rules_sample *machine,
			 uint64_t *ret_rss)
{
	struct rules_sample x = *machine;
	const struct watched_group *lowest;
	struct alert_subject who;

	if (look_at(a, w, &x))
		return false;
	lowest = look_at_groups(a, w, x.rss_bytes);
	if (lowest)
		put_limit(lowest, &x);
	who = process_subject(w, lowest);
	step(a, &w->state, &x, &who);
	*ret_rss = x.rss_bytes;
	return true;
}

void alert__tick(struct alert *a)
{
	struct watched *largest = NULL;
	struct rules_sample machine;
	uint64_t rss, most = 0;

	teller__tick(a->teller);
	a->now_ns = util__now_ns();
	if (a->now_ns < a->due_ns || !rules__any(&a->o->rules))
		return;
	a->due_ns = a->now_ns + ALERT_INTERVAL_NS;
	look_at_machine(&machine);
	for (size_t i = 0; i < a->nprocs; i++) {
		if (step_process(a, a->procs[i], &machine, &rss) && (!largest || rss > most)) {
			largest = a->procs[i];
			most = rss;
		}
	}
	step_groups(a, &machine);
	step_machine(a, &machine, largest, most);
	sweep_groups(a);
}

void alert__finish(struct alert *a)
{
	teller__finish(a->teller);
}
