/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/scrape.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alert/forecast.h"
#include "core/top_n.h"
#include "core/util.h"
#include "format/openmetrics.h"
#include "model/ledger.h"
#include "model/losses.h"
#include "snapshot/runtimes.h"
#include "sys/cgroup.h"
#include "sys/proc_task.h"

#define ASKED_NS 300000000000ULL /* somebody scrapes if somebody did so long ago at most */
#define LOOK_NS 10000000000ULL	 /* between looks at control groups */
#define MAX_GROUPS 64
#define MAX_GENERATIONS 4 /* of helpers, and of what these start */

struct scrape_group {
	char path[CGROUP_PATH];
	struct cgroup_memory memory; /* the limit that is nearest, and what is used of it */
	struct cgroup_stat stat;
	bool has_stat, is_wanted;
	struct forecast used;
};

struct scrape {
	struct textbuf text[2]; /* OpenMetrics, classic */
	bool is_new[2];
	struct cgroup_mounts mounts;
	struct scrape_group **group;
	size_t ngroups, groups_cap;
	uint64_t groups_left_out;
	struct forecast machine;
	uint64_t asked_ns, looked_ns;
	double own_cpu_s; /* as it was told last */
	/* rows of the table that are told */
	const struct table_proc **row;
	size_t nrows, rows_cap;
};

int scrape__new(struct scrape **ret)
{
	struct scrape *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	cgroup__mounts(&s->mounts);
	*ret = s;
	return 0;
}

void scrape__free(struct scrape *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->ngroups; i++)
		free(s->group[i]);
	free(s->group);
	free(s->row);
	textbuf__free(&s->text[0]);
	textbuf__free(&s->text[1]);
	free(s);
}

/* --- who is told of --- */

static int by_rss(const void *a, const void *b)
{
	uint64_t x = mw_task_row__rss(&(*(const struct table_proc *const *)a)->row),
		 y = mw_task_row__rss(&(*(const struct table_proc *const *)b)->row);

	return x < y ? 1 : x > y ? -1 : 0;
}

/* It is profiled, or an alert looks at it. */
static bool is_wanted(const struct scrape_sources *from, const struct table_proc *p)
{
	const struct deep_process *d =
		deep__find(from->deep, (struct deep_id){p->row.tgid, p->row.start_ns});

	return (d && !d->ended) || events__watches(from->events, p->row.tgid);
}

/* The largest, and behind them those that are wanted. */
static int pick_rows(struct scrape *s, const struct scrape_sources *from)
{
	size_t n = 0, keep;

	if (array_reserve(s->row, s->rows_cap, from->table->n + 1))
		return -ENOMEM;
	for (size_t i = 0; i < from->table->n; i++) {
		if (!(from->table->proc[i]->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM)))
			s->row[n++] = from->table->proc[i];
	}
	keep = top_n__sort(s->row, n, sizeof(*s->row), from->config->metrics_top, by_rss);
	for (size_t i = keep; i < n; i++) {
		if (is_wanted(from, s->row[i]))
			s->row[keep++] = s->row[i];
	}
	s->nrows = keep;
	return 0;
}

/* --- control groups --- */

static struct scrape_group *group_of(struct scrape *s, const char *path)
{
	struct scrape_group *g;

	for (size_t i = 0; i < s->ngroups; i++) {
		if (!strcmp(s->group[i]->path, path))
			return s->group[i];
	}
	if (s->ngroups == MAX_GROUPS || strlen(path) >= sizeof(g->path)) {
		s->groups_left_out++;
		return NULL;
	}
	if (array_reserve(s->group, s->groups_cap, s->ngroups + 1))
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	memcpy(g->path, path, strlen(path) + 1);
	return s->group[s->ngroups++] = g;
}

static void look_at_group(struct scrape *s, struct scrape_group *g, double now_s)
{
	struct cgroup_memory now = {.limit_bytes = CGROUP_NO_LIMIT};

	g->has_stat = !cgroup__stat(&s->mounts, g->path, &g->stat);
	cgroup__tightest(&s->mounts, g->path, &now);
	/* a series is of one limit */
	if (strcmp(now.path, g->memory.path))
		memset(&g->used, 0, sizeof(g->used));
	g->memory = now;
	if (now.limit_bytes != CGROUP_NO_LIMIT)
		forecast__add(&g->used, now_s, (double)(now.usage_bytes - now.reclaimable_bytes));
}

static void look_at_groups(struct scrape *s, uint64_t now)
{
	size_t k = 0;

	s->looked_ns = now;
	s->groups_left_out = 0;
	for (size_t i = 0; i < s->ngroups; i++)
		s->group[i]->is_wanted = false;
	for (size_t i = 0; i < s->nrows && s->mounts.version; i++) {
		const char *path = s->row[i]->cgroup;
		struct scrape_group *g = path && strcmp(path, "/") ? group_of(s, path) : NULL;

		if (g)
			g->is_wanted = true;
	}
	for (size_t i = 0; i < s->ngroups; i++) {
		if (!s->group[i]->is_wanted) {
			free(s->group[i]);
			continue;
		}
		s->group[k++] = s->group[i];
		look_at_group(s, s->group[k - 1], (double)now / 1e9);
	}
	s->ngroups = k;
}

void scrape__pass(struct scrape *s, const struct scrape_sources *from)
{
	const struct machine *m = from->machine;
	uint64_t now = util__now_ns();

	s->is_new[0] = s->is_new[1] = false;
	forecast__add(&s->machine, (double)now / 1e9,
		      (double)(m->total_bytes - min_of(m->available_bytes, m->total_bytes)));
	if (!s->asked_ns || now - s->asked_ns > ASKED_NS || now - s->looked_ns < LOOK_NS)
		return;
	if (!pick_rows(s, from))
		look_at_groups(s, now);
}

/* --- writing --- */

struct pair {
	const char *kind;
	double value;
};

static void by_kind(struct openmetrics *m, const struct pair *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct openmetrics_label l = {"kind", p[i].kind};

		openmetrics__sample(m, p[i].value, &l, 1);
	}
}

static void put_forecast(struct openmetrics *m, struct forecast *f, double limit,
			 const struct openmetrics_label *l, size_t n)
{
	struct forecast_verdict v;

	forecast__judge(f, limit, &v);
	openmetrics__sample(m, v.in_s, l, n);
}

static void put_machine(struct scrape *s, struct openmetrics *m, const struct machine *x)
{
	const struct pair memory[] = {{"total", x->total_bytes},
				      {"free", x->free_bytes},
				      {"available", x->available_bytes},
				      {"cached", x->cached_bytes},
				      {"buffers", x->buffers_bytes},
				      {"shmem", x->shmem_bytes},
				      {"slab", x->slab_bytes},
				      {"anon", x->anon_bytes},
				      {"committed", x->commit_bytes},
				      {"commit_limit", x->commit_limit_bytes},
				      {"swap_total", x->swap_total_bytes},
				      {"swap_free", x->swap_free_bytes}};
	const struct pair stalled[] = {{"some", x->some_total_us / 1e6},
				       {"full", x->full_total_us / 1e6}};

	openmetrics__gauge(m, "memwatch_machine_memory_bytes", "bytes",
			   "Memory of the machine by kind, as in /proc/meminfo.");
	by_kind(m, memory, ARRAY_SIZE(memory));
	openmetrics__gauge(m, "memwatch_machine_oom_in_seconds", "seconds",
			   "Until no memory is available, as it grows now; +Inf: no end in sight.");
	put_forecast(m, &s->machine, (double)x->total_bytes, NULL, 0);
	if (!x->has_psi)
		return;
	openmetrics__counter(m, "memwatch_machine_stalled_seconds", "seconds",
			     "Time in which some or all tasks waited for memory (PSI).");
	by_kind(m, stalled, ARRAY_SIZE(stalled));
}

#define NLABELS 5
struct names_of {
	char pid[16], unit[128];
	struct openmetrics_label l[NLABELS + 1]; /* the last is the caller's */
};

static void name_process(const struct table_proc *p, struct names_of *n)
{
	snprintf(n->pid, sizeof(n->pid), "%u", p->row.tgid);
	choice__unit(p->cgroup, n->unit, sizeof(n->unit));
	n->l[0] = (struct openmetrics_label){"pid", n->pid};
	n->l[1] = (struct openmetrics_label){"comm", p->comm};
	n->l[2] = (struct openmetrics_label){"user", p->user};
	n->l[3] = (struct openmetrics_label){"unit", n->unit};
	n->l[4] = (struct openmetrics_label){"container", p->container};
}

static void put_resident(struct openmetrics *m, const struct table_proc *p, struct names_of *n)
{
	const struct pair kinds[] = {{"anon", p->row.anon_bytes},
				     {"file", p->row.file_bytes},
				     {"shmem", p->row.shmem_bytes}};

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		n->l[NLABELS] = (struct openmetrics_label){"kind", kinds[k].kind};
		openmetrics__sample(m, kinds[k].value, n->l, NLABELS + 1);
	}
}

enum column { VIRTUAL, SWAP, PEAK, GROWTH, COLUMNS };

static double column_of(const struct table_proc *p, enum column c)
{
	double growth = 0;

	switch (c) {
	case VIRTUAL: return p->row.virt_bytes;
	case SWAP: return p->row.swap_bytes;
	case PEAK: return p->peak_bytes;
	case GROWTH: table_proc__growth(p, &growth); return growth / 60;
	case COLUMNS: break;
	}
	return NAN;
}

static void put_processes(struct scrape *s, struct openmetrics *m, const struct table *t)
{
	static const struct {
		const char *name, *unit, *help;
	} columns[COLUMNS] = {
		[VIRTUAL] = {"memwatch_process_virtual_bytes", "bytes",
			     "Address space of a process."},
		[SWAP] = {"memwatch_process_swap_bytes", "bytes",
			  "What of a process is swapped out."},
		[PEAK] = {"memwatch_process_peak_resident_bytes", "bytes",
			  "The highest RSS of a process so far, peaks between passes included."},
		[GROWTH] = {"memwatch_process_growth_bytes_per_second", NULL,
			    "Growth of the RSS over the last two minutes."},
	};
	struct names_of n;

	openmetrics__gauge(
		m, "memwatch_process_resident_bytes", "bytes",
		"Resident memory of the largest, the profiled and the watched processes, by kind.");
	for (size_t i = 0; i < s->nrows; i++) {
		name_process(s->row[i], &n);
		put_resident(m, s->row[i], &n);
	}
	for (int c = 0; c < COLUMNS; c++) {
		openmetrics__gauge(m, columns[c].name, columns[c].unit, columns[c].help);
		for (size_t i = 0; i < s->nrows; i++) {
			name_process(s->row[i], &n);
			openmetrics__sample(m, column_of(s->row[i], c), n.l, NLABELS);
		}
	}
	openmetrics__gauge(m, "memwatch_processes", NULL, "Processes, kernel threads left out.");
	openmetrics__sample(m, (double)t->n, NULL, 0);
	openmetrics__gauge(m, "memwatch_processes_untold", NULL,
			   "Smaller processes, which have no metrics of their own.");
	openmetrics__sample(m, (double)(t->n - min_of(t->n, s->nrows)), NULL, 0);
}

static void put_groups(struct scrape *s, struct openmetrics *m)
{
	openmetrics__gauge(m, "memwatch_cgroup_memory_bytes", "bytes",
			   "Memory of a control group and all below it, by kind.");
	for (size_t i = 0; i < s->ngroups; i++) {
		for (int k = 0; k < CGROUP_STATS && s->group[i]->has_stat; k++) {
			struct openmetrics_label l[] = {{"cgroup", s->group[i]->path},
							{"kind", cgroup_stat__name(k)}};

			if (s->group[i]->stat.bytes[k] != CGROUP_STAT_UNKNOWN)
				openmetrics__sample(m, s->group[i]->stat.bytes[k], l, 2);
		}
	}
	for (int what = 0; what < 3; what++) {
		if (what == 0)
			openmetrics__gauge(
				m, "memwatch_cgroup_limit_bytes", "bytes",
				"The limit that is nearest to being reached, the group's or "
				"that of one above it.");
		else if (what == 1)
			openmetrics__gauge(m, "memwatch_cgroup_limit_used_bytes", "bytes",
					   "What is used of that limit.");
		else
			openmetrics__gauge(
				m, "memwatch_cgroup_oom_in_seconds", "seconds",
				"Until that limit is reached, as what cannot be reclaimed "
				"grows now; +Inf: no end in sight.");
		for (size_t i = 0; i < s->ngroups; i++) {
			struct scrape_group *g = s->group[i];
			struct openmetrics_label l[] = {{"cgroup", g->path},
							{"limit_cgroup", g->memory.path}};

			if (g->memory.limit_bytes == CGROUP_NO_LIMIT)
				continue;
			if (what == 2)
				put_forecast(m, &g->used, (double)g->memory.limit_bytes, l, 2);
			else
				openmetrics__sample(
					m, what ? g->memory.usage_bytes : g->memory.limit_bytes, l,
					2);
		}
	}
	openmetrics__gauge(m, "memwatch_cgroups_untold", NULL,
			   "Control groups for which there was no room.");
	openmetrics__sample(m, (double)s->groups_left_out, NULL, 0);
}

enum heap_column {
	INUSE_BYTES,
	INUSE_OBJECTS,
	ALLOC_BYTES,
	ALLOC_OBJECTS,
	COST,
	SAMPLED,
	SAMPLE_BYTES,
	HEAP_COLUMNS
};

/* Less than nothing may come of estimates; what is not known stays so. */
static double at_least_0(double v)
{
	return v < 0 ? 0 : v;
}

/* Not of those that are not sampled here. */
static double sample_bytes_of(const struct scrape_sources *from, const struct deep_process *d)
{
	uint64_t bytes = deep__sample_bytes(from->deep, d);

	return bytes ? (double)bytes : NAN;
}

static double heap_column_of(const struct scrape_sources *from, const struct deep_process *d,
			     enum heap_column c)
{
	struct runtimes_numbers n;

	deep__numbers(from->deep, d, &n);
	switch (c) {
	case INUSE_BYTES: return at_least_0(n.inuse_bytes);
	case INUSE_OBJECTS: return at_least_0(n.inuse_objects);
	case ALLOC_BYTES: return n.alloc_bytes;
	case ALLOC_OBJECTS: return n.alloc_objects;
	case COST: return d->cost_percent / 100;
	case SAMPLED: return deep__window_share(from->deep, d);
	case SAMPLE_BYTES: return sample_bytes_of(from, d);
	case HEAP_COLUMNS: break;
	}
	return NAN;
}

static void head_of_heap(struct openmetrics *m, enum heap_column c)
{
	switch (c) {
	case INUSE_BYTES:
		openmetrics__gauge(m, "memwatch_heap_inuse_bytes", "bytes",
				   "In use of a profiled heap; allocated since the attach.");
		break;
	case INUSE_OBJECTS:
		openmetrics__gauge(m, "memwatch_heap_inuse_objects", "objects", "Blocks of it.");
		break;
	case ALLOC_BYTES:
		openmetrics__counter(m, "memwatch_heap_allocated_bytes", "bytes",
				     "Allocated in a profiled heap since the attach.");
		break;
	case ALLOC_OBJECTS:
		openmetrics__counter(m, "memwatch_heap_allocated_objects", "objects",
				     "Blocks of it.");
		break;
	case COST:
		openmetrics__gauge(m, "memwatch_profiling_cost_ratio", "ratio",
				   "What profiling costs a process, in CPUs.");
		break;
	case SAMPLED:
		openmetrics__gauge(m, "memwatch_profiling_sampled_ratio", "ratio",
				   "The part of the time in which what a process allocates was "
				   "sampled; less than 1: in windows.");
		break;
	case SAMPLE_BYTES:
		openmetrics__gauge(m, "memwatch_profiling_sample_bytes", "bytes",
				   "Mean bytes between samples of a heap; more than its rule says "
				   "where it cost too much.");
		break;
	case HEAP_COLUMNS: break;
	}
}

static void name_profiled(const struct deep_process *d, struct names_of *n)
{
	snprintf(n->pid, sizeof(n->pid), "%u", d->id.pid);
	n->l[0] = (struct openmetrics_label){"pid", n->pid};
	n->l[1] = (struct openmetrics_label){"comm", d->target->comm};
	n->l[2] = (struct openmetrics_label){"rule", d->rule};
}

static void put_heaps(struct openmetrics *m, const struct scrape_sources *from)
{
	const struct deep_process *d;
	struct names_of n;
	double value;

	for (int c = 0; c < HEAP_COLUMNS; c++) {
		head_of_heap(m, c);
		for (d = deep__next(from->deep, NULL); d; d = deep__next(from->deep, d)) {
			if (d->ended)
				continue;
			name_profiled(d, &n);
			value = heap_column_of(from, d, c);
			if (!isnan(value))
				openmetrics__sample(m, value, n.l, 3);
		}
	}
	openmetrics__gauge(
		m, "memwatch_ledger_bytes", "bytes",
		"Where the resident bytes of a profiled process belong; the lines add up "
		"to its RSS.");
	for (d = deep__next(from->deep, NULL); d; d = deep__next(from->deep, d)) {
		const struct ledger *l = d->ended ? NULL : deep__ledger(from->deep, d);

		name_profiled(d, &n);
		for (int k = 0; l && k < LEDGER_KINDS; k++) {
			n.l[3] = (struct openmetrics_label){"line", ledger__key(k)};
			if (l->line[k].mappings || l->line[k].rss_bytes)
				openmetrics__sample(m, (double)l->line[k].rss_bytes, n.l, 4);
		}
	}
}

static void put_fault_samples(struct openmetrics *m, const struct scrape_sources *from)
{
	struct losses l;

	if (pagefaults__losses(from->faults, &l))
		return;
	openmetrics__counter(m, "memwatch_page_fault_samples_lost", NULL,
			     "Page-fault samples that are in no profile.");
	for (int i = 0; i < MW_LOSS_COUNT; i++) {
		struct openmetrics_label cause = {"cause", losses_rows[i].text};

		if (!strcmp(losses_rows[i].unit, "samples"))
			openmetrics__sample(m, (double)l.count[i], &cause, 1);
	}
}

enum alert_column { ALERTS_TOLD, ALERTS_FIRING, ALERT_COLUMNS };

static void put_alert_column(struct openmetrics *m, const struct events *e, enum alert_column c)
{
	struct events_section s;

	for (size_t i = 0; events__section(e, i, &s); i++) {
		for (int r = 0; r < ALERT_RULES; r++) {
			struct openmetrics_label l[] = {{"alert", s.name},
							{"rule", s.rule[r].name}};
			const struct alert_numbers *n = &s.rule[r].numbers;

			if (s.rule[r].name)
				openmetrics__sample(
					m, c == ALERTS_TOLD ? (double)n->told : (double)n->firing,
					l, 2);
		}
	}
}

static void put_alerts(struct openmetrics *m, const struct events *e)
{
	struct events_section s;

	openmetrics__counter(m, "memwatch_alerts", NULL,
			     "Alerts told since the start, by section and rule.");
	put_alert_column(m, e, ALERTS_TOLD);
	openmetrics__gauge(m, "memwatch_alerts_firing", NULL,
			   "Processes, groups or machines for which a rule fires now.");
	put_alert_column(m, e, ALERTS_FIRING);
	openmetrics__gauge(
		m, "memwatch_alert_processes_left_out", NULL,
		"Processes that a section chooses, and that are too small for it to watch.");
	for (size_t i = 0; events__section(e, i, &s); i++) {
		struct openmetrics_label l = {"alert", s.name};

		openmetrics__sample(m, (double)s.left_out, &l, 1);
	}
}

static void put_history(struct openmetrics *m, const struct scrape_sources *from)
{
	struct history_stats h;

	if (!from->keeper)
		return;
	keeper__stats(from->keeper, &h);
	openmetrics__gauge(m, "memwatch_history_size_bytes", "bytes",
			   "What the history takes in its file.");
	openmetrics__sample(m, (double)h.bytes, NULL, 0);
	openmetrics__counter(m, "memwatch_history_writes_lost", NULL,
			     "Passes, profiles and events that could not be written to the "
			     "history.");
	openmetrics__sample(m, (double)h.lost, NULL, 0);
}

static void put_events(struct openmetrics *m, const struct scrape_sources *from)
{
	struct events_stats e;
	struct deep_stats d;

	events__stats(from->events, &e);
	deep__stats(from->deep, &d);
	openmetrics__counter(m, "memwatch_oom_kills", NULL, "OOM kills seen since the start.");
	openmetrics__sample(m, (double)e.kills, NULL, 0);
	openmetrics__counter(m, "memwatch_oom_without_victim", NULL,
			     "Times that memory ran out and nobody could be killed.");
	openmetrics__sample(m, (double)e.victimless, NULL, 0);
	openmetrics__counter(m, "memwatch_memory_high_throttles", NULL,
			     "Times that cgroups were held up at their memory.high, as told.");
	openmetrics__sample(m, (double)e.throttles, NULL, 0);
	put_alerts(m, from->events);
	openmetrics__gauge(m, "memwatch_profiled_processes", NULL,
			   "Processes whose heaps are profiled.");
	openmetrics__sample(m, d.living, NULL, 0);
	openmetrics__counter(m, "memwatch_profiled", NULL,
			     "Processes that were attached to since the start.");
	openmetrics__sample(m, (double)d.attached, NULL, 0);
	openmetrics__counter(m, "memwatch_attach_failures", NULL,
			     "Processes that could not be attached to.");
	openmetrics__sample(m, (double)d.failed, NULL, 0);
	openmetrics__counter(m, "memwatch_attach_refusals", NULL,
			     "Times that a process was not attached to because as many as may be "
			     "were.");
	openmetrics__sample(m, (double)d.refused, NULL, 0);
	openmetrics__counter(m, "memwatch_over_budget", NULL,
			     "Processes that were let go for their cost.");
	openmetrics__sample(m, (double)d.over_budget, NULL, 0);
	openmetrics__gauge(m, "memwatch_events_lost", NULL,
			   "Allocations and frees that were not counted, of what is profiled now.");
	openmetrics__sample(m, (double)d.events_lost, NULL, 0);
	put_fault_samples(m, from);
	put_history(m, from);
	openmetrics__gauge(m, "memwatch_profiling_cost_total_ratio", "ratio",
			   "What profiling costs all processes together, in CPUs.");
	openmetrics__sample(m, d.cost_percent / 100, NULL, 0);
}

/* Whether a process is this one, a helper of it, or was started by one. */
static bool is_own(const struct table *t, const struct table_proc *p)
{
	uint32_t self = (uint32_t)getpid();

	for (int i = 0; p && i < MAX_GENERATIONS; i++) {
		if (p->row.tgid == self)
			return true;
		p = table__find(t, p->row.ppid);
	}
	return false;
}

static double seconds_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The daemon with its helpers, those that have ended too. */
static void read_own(struct scrape *s, const struct table *t, uint64_t *ret_rss)
{
	double cpu_s = seconds_of(RUSAGE_SELF) + seconds_of(RUSAGE_CHILDREN);

	*ret_rss = 0;
	for (size_t i = 0; i < t->n; i++) {
		const struct table_proc *p = t->proc[i];

		if (!is_own(t, p))
			continue;
		*ret_rss += mw_task_row__rss(&p->row);
		if (p->row.tgid != (uint32_t)getpid())
			cpu_s += (double)proc_task__cpu_ns((pid_t)p->row.tgid) / 1e9;
	}
	/* one that has ended and was not waited for yet is in neither sum */
	s->own_cpu_s = max_of(s->own_cpu_s, cpu_s);
}

static void put_own(struct scrape *s, struct openmetrics *m, const struct scrape_sources *from)
{
	const struct openmetrics_label version = {"version", MEMWATCH_VERSION};
	uint64_t rss;

	read_own(s, from->table, &rss);
	openmetrics__gauge(m, "memwatch_build_info", NULL, "The version that runs.");
	openmetrics__sample(m, 1, &version, 1);
	openmetrics__counter(m, "process_cpu_seconds", "seconds",
			     "CPU time of the daemon and its helpers.");
	openmetrics__sample(m, s->own_cpu_s, NULL, 0);
	openmetrics__gauge(m, "process_resident_memory_bytes", "bytes",
			   "Resident memory of the daemon and its helpers; what they share counts "
			   "in each.");
	openmetrics__sample(m, (double)rss, NULL, 0);
	openmetrics__counter(m, "memwatch_passes", NULL, "Passes over all processes.");
	openmetrics__sample(m, (double)from->passes, NULL, 0);
	openmetrics__gauge(m, "memwatch_pass_duration_seconds", "seconds",
			   "What the last pass took.");
	openmetrics__sample(m, (double)from->pass_ns / 1e9, NULL, 0);
}

const struct textbuf *scrape__text(struct scrape *s, const struct scrape_sources *from,
				   bool classic)
{
	struct textbuf *b = &s->text[classic];
	struct openmetrics m = {.b = b, .classic = classic};
	bool is_first = !s->asked_ns;

	s->asked_ns = util__now_ns();
	if (s->is_new[classic])
		return b;
	if (pick_rows(s, from))
		return NULL;
	if (is_first)
		look_at_groups(s, s->asked_ns);
	textbuf__reset(b);
	put_machine(s, &m, from->machine);
	put_processes(s, &m, from->table);
	put_groups(s, &m);
	put_heaps(&m, from);
	put_events(&m, from);
	put_own(s, &m, from);
	openmetrics__end(&m);
	s->is_new[classic] = !b->err;
	return b->err ? NULL : b;
}
