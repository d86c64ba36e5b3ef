/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/plan.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "memwatch/mm.h"
#include "memwatch/wire.h"

#define MIN_MM_RING (1 << 20)
#define MAX_MM_RING (8 << 20)

static void use(struct plan *p, const enum plan_prog *progs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p->prog[progs[i]].on = true;
}

static void create(struct plan *p, const enum plan_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p->map[maps[i]].on = true;
}

#define USE(p, ...)                                   \
	use(p, (const enum plan_prog[]){__VA_ARGS__}, \
	    sizeof((const enum plan_prog[]){__VA_ARGS__}) / sizeof(enum plan_prog))
#define CREATE(p, ...)                                  \
	create(p, (const enum plan_map[]){__VA_ARGS__}, \
	       sizeof((const enum plan_map[]){__VA_ARGS__}) / sizeof(enum plan_map))

static bool has(const struct features *fs, enum feature_id id)
{
	return fs->f[id].have;
}

enum plan_method plan__best_method(const struct features *fs)
{
	return has(fs, FEATURE_UPROBE_SESSION) ? PLAN_SESSION
	       : has(fs, FEATURE_UPROBE_MULTI) ? PLAN_MULTI
					       : PLAN_SINGLE;
}

const char *plan__method_name(enum plan_method m)
{
	switch (m) {
	case PLAN_SESSION: return "session uprobes";
	case PLAN_MULTI: return "uprobe_multi with return probes on every call";
	case PLAN_SINGLE: break;
	}
	return "one uprobe and one return probe per function";
}

static void want_processes(struct plan *p, const struct plan_want *w, bool mappings)
{
	USE(p, PROG_mw_proc_fork, PROG_mw_proc_exec, PROG_mw_proc_exit);
	CREATE(p, MAP_events, MAP_counters, MAP_targets, MAP_epochs, MAP_proc_brks);
	p->all_processes = w->all_processes;
	p->map[MAP_events].entries = w->ring_bytes;
	p->map[MAP_counters].entries = w->counter_rows;
	if (!mappings)
		return;
	USE(p, PROG_mw_proc_map_exit);
}

/* The unwinder's maps are named by every program that takes stacks, with tables or without. */
static void want_stacks(struct plan *p, const struct features *fs, const struct plan_want *w)
{
	CREATE(p, MAP_stack_scratch, MAP_stack_seen, MAP_unwind_tables, MAP_unwind_files,
	       MAP_unwind_wanted, MAP_unwind_states, MAP_unwind_vmas, MAP_unwind_rows,
	       MAP_unwind_moved, MAP_unwind_procs, MAP_unwind_copies, MAP_unwind_copied,
	       MAP_unwind_spent, MAP_unwind_jvms);
	p->copy_bytes = w->tuning.copy_bytes;
	p->tables = !w->tuning.no_tables && has(fs, FEATURE_FIND_VMA) && has(fs, FEATURE_VMA_ITER);
	p->prog[PROG_mw_unwind_vmas].on = p->tables;
	p->map[MAP_unwind_copies].entries = p->tables ? 0 : 1;
	p->max_depth = w->max_depth;
}

static void want_allocators(struct plan *p, const struct features *fs, const struct plan_want *w)
{
	static const enum plan_prog uprobes[] = {
		PROG_mw_alloc_free,   PROG_mw_alloc_ret,  PROG_mw_alloc_entry,
		PROG_mw_alloc_return, PROG_mw_fast_alloc, PROG_mw_fast_free,
		PROG_mw_fast_unfree,  PROG_mw_usdt_alloc, PROG_mw_usdt_free};

	p->method = max_of(plan__best_method(fs), w->tuning.method);
	p->multi = p->method != PLAN_SINGLE;
	p->sample_bytes = w->sample_bytes;
	p->wake_bytes = w->ring_bytes / 8;
	USE(p, PROG_mw_alloc_free, PROG_mw_alloc_entry, PROG_mw_alloc_ret,
	    PROG_mw_alloc_thread_exit);
	if (w->fast)
		USE(p, PROG_mw_fast_alloc, PROG_mw_fast_free, PROG_mw_fast_unfree);
	if (w->sample_bytes > 1) { /* targets that sample for themselves */
		USE(p, PROG_mw_usdt_alloc, PROG_mw_usdt_free);
		CREATE(p, MAP_usdt_rows);
	}
	p->prog[PROG_mw_alloc_session].on = p->method == PLAN_SESSION;
	p->prog[PROG_mw_alloc_return].on = p->method != PLAN_SESSION;
	if (p->method == PLAN_SESSION)
		p->prog[PROG_mw_alloc_session].attach_type = MW_BPF_TRACE_UPROBE_SESSION;
	for (size_t i = 0; i < ARRAY_SIZE(uprobes) && p->multi; i++)
		p->prog[uprobes[i]].attach_type = MW_BPF_TRACE_UPROBE_MULTI;
	CREATE(p, MAP_alloc_sites, MAP_alloc_live, MAP_alloc_callers, MAP_alloc_threads);
	/* exact mode keeps no live blocks in the kernel */
	p->map[MAP_alloc_live].entries = w->sample_bytes <= 1 ? 1 : 0;
}

static void want_go(struct plan *p, const struct features *fs)
{
	USE(p, PROG_mw_go_cycle_end);
	CREATE(p, MAP_go_cycles, MAP_go_config, MAP_go_counters);
	p->multi = has(fs, FEATURE_UPROBE_MULTI);
	if (p->multi)
		p->prog[PROG_mw_go_cycle_end].attach_type = MW_BPF_TRACE_UPROBE_MULTI;
}

/* Room for all to end between two passes. */
static uint32_t mm_ring(uint32_t slots)
{
	uint32_t bytes = MIN_MM_RING;

	while (bytes < MAX_MM_RING && bytes / (sizeof(struct mw_mm_ev) + 8) < slots / 2)
		bytes *= 2;
	return bytes;
}

static void want_rows(struct plan *p, const struct features *fs, const struct plan_want *w)
{
	USE(p, PROG_mw_task_rows);
	/* the iterator's program names all of these, with peaks or without */
	CREATE(p, MAP_mm_percpu, MAP_mm_anchor, MAP_mm_slots, MAP_mm_watch, MAP_mm_counters);
	p->map[MAP_mm_slots].entries = w->peaks ? w->slots : 1;
	p->kthreads = w->kthreads;
	p->peaks = w->peaks;
	if (!w->peaks)
		return;
	/* Where the kernel lets rss_stat fire once per 64 faults only it is cheap. */
	USE(p, fs->sparse_rss_stat || w->exact_peaks ? PROG_mw_mm_rss : PROG_mw_mm_tick,
	    PROG_mw_mm_fork, PROG_mw_mm_exec, PROG_mw_mm_exit);
	p->prog[PROG_mw_mm_prepare_exec].on = fs->prepare_exec;
	CREATE(p, MAP_mm_last, MAP_mm_events);
	p->map[MAP_mm_events].entries = mm_ring(w->slots);
}

static void want_kills(struct plan *p, const struct plan_want *w)
{
	USE(p, PROG_mw_oom_signal, PROG_mw_oom_mark);
	CREATE(p, MAP_oom_events, MAP_oom_stash, MAP_oom_counters, MAP_oom_stalls, MAP_oom_stalled,
	       MAP_oom_scores);
	if (w->kill_causes)
		USE(p, PROG_mw_oom_reclaim_begin, PROG_mw_oom_reclaim_end, PROG_mw_oom_memcg_begin,
		    PROG_mw_oom_memcg_end, PROG_mw_oom_compaction_begin, PROG_mw_oom_compaction_end,
		    PROG_mw_oom_score);
}

static int missing(const struct features *fs, enum feature_id id, const char *words,
		   struct plan *ret)
{
	int err = fs->f[id].err;

	memset(ret, 0, sizeof(*ret));
	ret->lacks = words;
	return err < 0 ? err : -EOPNOTSUPP;
}

int plan__make(const struct features *fs, const struct plan_want *w, struct plan *ret)
{
	bool stacks = w->mappings || w->allocators || w->faults;

	memset(ret, 0, sizeof(*ret));
	if (stacks && !has(fs, FEATURE_COOKIE)) /* nor what else stacks need, of 5.15 and before */
		return missing(fs, FEATURE_COOKIE,
			       w->allocators ? "allocator probes need attach cookies (Linux 5.15)"
					     : "stacks of page faults and mappings need Linux 5.15",
			       ret);
	if (w->rows && !has(fs, FEATURE_TASK_ITER))
		return missing(fs, FEATURE_TASK_ITER, "no iterator over processes (Linux 5.8)",
			       ret);
	if (w->processes || stacks)
		want_processes(ret, w, w->mappings && has(fs, FEATURE_SYSCALL_TP));
	if (stacks)
		want_stacks(ret, fs, w);
	if (w->go_cycles)
		want_go(ret, fs);
	if (w->allocators)
		want_allocators(ret, fs, w);
	if (w->faults) {
		USE(ret, PROG_mw_fault_sample);
		ret->faults_of_all = w->faults_of_all;
	}
	ret->peaks_of_all = !w->peaks || w->peaks_of_all;
	if (w->rows)
		want_rows(ret, fs, w);
	if (w->kills)
		want_kills(ret, w);
	return 0;
}
