/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h - what is loaded into the kernel: from what it offers and what is wanted to the programs,
 * the maps with their sizes, and the programs' constants. Pure; bpfobj__open applies it.
 */
#ifndef PROBE_PLAN_H
#define PROBE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/feature.h"

/* Every program and every map of the main BPF object, by its name there. */
#define PLAN_PROGS(X)              \
	X(mw_proc_fork)            \
	X(mw_proc_exec)            \
	X(mw_proc_exit)            \
	X(mw_proc_map_exit)        \
	X(mw_alloc_free)           \
	X(mw_alloc_entry)          \
	X(mw_alloc_ret)            \
	X(mw_alloc_return)         \
	X(mw_alloc_session)        \
	X(mw_alloc_thread_exit)    \
	X(mw_fast_alloc)           \
	X(mw_fast_free)            \
	X(mw_fast_unfree)          \
	X(mw_usdt_alloc)           \
	X(mw_usdt_free)            \
	X(mw_fault_sample)         \
	X(mw_unwind_vmas)          \
	X(mw_go_cycle_end)         \
	X(mw_task_rows)            \
	X(mw_mm_tick)              \
	X(mw_mm_rss)               \
	X(mw_mm_fork)              \
	X(mw_mm_exec)              \
	X(mw_mm_exit)              \
	X(mw_mm_prepare_exec)      \
	X(mw_oom_signal)           \
	X(mw_oom_mark)             \
	X(mw_oom_reclaim_begin)    \
	X(mw_oom_reclaim_end)      \
	X(mw_oom_memcg_begin)      \
	X(mw_oom_memcg_end)        \
	X(mw_oom_compaction_begin) \
	X(mw_oom_compaction_end)   \
	X(mw_oom_score)
#define PLAN_MAPS(X)     \
	X(events)        \
	X(counters)      \
	X(targets)       \
	X(epochs)        \
	X(proc_brks)     \
	X(alloc_sites)   \
	X(alloc_live)    \
	X(alloc_threads) \
	X(alloc_callers) \
	X(usdt_rows)     \
	X(stack_scratch) \
	X(stack_seen)    \
	X(unwind_tables) \
	X(unwind_files)  \
	X(unwind_wanted) \
	X(unwind_states) \
	X(unwind_vmas)   \
	X(unwind_rows)   \
	X(unwind_moved)  \
	X(unwind_jvms)   \
	X(unwind_procs)  \
	X(unwind_copies) \
	X(unwind_copied) \
	X(unwind_spent)  \
	X(go_cycles)     \
	X(go_config)     \
	X(go_counters)   \
	X(mm_percpu)     \
	X(mm_anchor)     \
	X(mm_slots)      \
	X(mm_watch)      \
	X(mm_counters)   \
	X(mm_events)     \
	X(mm_last)       \
	X(oom_events)    \
	X(oom_stash)     \
	X(oom_counters)  \
	X(oom_stalls)    \
	X(oom_stalled)   \
	X(oom_scores)

enum plan_prog {
#define X(name) PROG_##name,
	PLAN_PROGS(X)
#undef X
		PLAN_NPROGS
};

enum plan_map {
#define X(name) MAP_##name,
	PLAN_MAPS(X)
#undef X
		PLAN_NMAPS
};

/* How allocator calls are followed from entry to return, the best first. */
enum plan_method { PLAN_SESSION, PLAN_MULTI, PLAN_SINGLE };

/* What a user may ask for that is worse than what the kernel offers: to compare, to work around. */
struct plan_tuning {
	enum plan_method method; /* no better than this */
	bool no_tables;		 /* stacks by frame pointers */
	uint64_t table_bytes;	 /* of unwind tables in the kernel; 0: the default */
	uint64_t copy_bytes;	 /* of copied stacks, of a process in a second; 0: the default */
	uint32_t ring_bytes;	 /* of events, a power of two; 0: room for the largest burst */
	uint64_t attach_ns;	 /* to many at once, before others have their turn; 0: the default */
	const char *state_dir;	 /* of the disk cache of tables; NULL: none */
};

struct plan_want {
	bool processes;	       /* forks, execs and ends of targets */
	bool all_processes;    /* forks and execs of others too */
	bool mappings;	       /* and what they map, where the kernel can tell */
	bool allocators;       /* and what they allocate */
	bool fast;	       /* by stubs inside them, where that can be done */
	bool faults;	       /* page faults, sampled */
	bool faults_of_all;    /* of processes that are no targets, too */
	bool go_cycles;	       /* ends of garbage collections of Go programs */
	bool rows;	       /* passes over all processes */
	bool kthreads;	       /* with rows: kernel threads too */
	bool peaks;	       /* with rows: RSS between passes, births and deaths */
	bool peaks_of_all;     /* not only of those that are watched */
	bool exact_peaks;      /* every change of RSS: dearer */
	bool kills;	       /* of the OOM killer */
	bool kill_causes;      /* and what leads to them */
	uint64_t sample_bytes; /* of allocators; <= 1: exact */
	uint32_t ring_bytes;   /* of events */
	uint32_t counter_rows;
	uint32_t max_depth; /* frames of a stack; 0: all that can be kept */
	uint32_t slots;	    /* processes whose peaks are kept */
	struct plan_tuning tuning;
};

struct plan {
	struct {
		bool on;
		int attach_type; /* 0: as it is declared */
	} prog[PLAN_NPROGS];
	struct {
		bool on;
		uint32_t entries; /* 0: as it is declared */
	} map[PLAN_NMAPS];
	/* constants of the programs */
	bool tables; /* stacks are unwound by tables */
	bool all_processes, faults_of_all, peaks_of_all, kthreads, peaks;
	uint64_t sample_bytes, wake_bytes;
	uint64_t copy_bytes; /* 0: as it is declared */
	uint32_t max_depth;  /* 0: as it is declared */
	/* for those who attach */
	enum plan_method method; /* of allocators */
	bool multi;		 /* probes are attached by uprobe_multi links */
	const char
		*lacks; /* what the kernel would have to offer, if that is why there is no plan */
};

/* 0, or the negative errno of the feature that is missing (lacks is set). What is optional and
 * missing is left out. */
int plan__make(const struct features *fs, const struct plan_want *want, struct plan *ret);

/* The best method that the kernel offers. */
enum plan_method plan__best_method(const struct features *fs);
const char *plan__method_name(enum plan_method m);

#endif
