/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmstat.h - reading an address space's counters in BPF.
 *
 * From 6.2 on RSS is kept in per-CPU counters: `count` lags by up to one batch (max(32, 2 * CPUs)
 * pages) per CPU. mm_read_rss() adds the per-CPU parts as the kernel's percpu_counter_sum() does
 * (without its lock: a CPU that folds its part at that very moment can make the sum be off by one
 * batch). Until 6.1 the counters are plain atomics with a per-task cache of up to 64 pages that
 * nobody but the task itself can see; /proc has the same error there.
 */
#ifndef BPF_MMSTAT_H
#define BPF_MMSTAT_H

#include "kernel.h"

enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };
#define MW_MAX_CPUS 1024

/* Set before loading. */
extern const volatile unsigned int mm_nr_cpus;
extern const volatile unsigned int mm_page_shift;

struct mm_rss {
	s64 pages[NR_MM_COUNTERS];
};

static __always_inline s64 mm_rss_total(const struct mm_rss *r)
{
	return r->pages[MM_FILEPAGES] + r->pages[MM_ANONPAGES] + r->pages[MM_SHMEMPAGES];
}

/*
 * How far each CPU's copy of a per-CPU variable is from its per-CPU pointer. The same for all of
 * them, so a per-CPU map tells it: no kernel symbol is needed. Filled by mm_learn_percpu().
 */
struct mm_percpu {
	u64 known; /* CPUs filled in */
	u64 off[MW_MAX_CPUS];
};
struct mm_percpu_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mm_percpu);
};
extern struct mm_percpu_map mm_percpu SEC(".maps");

struct mm_anchor_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
};
extern struct mm_anchor_map mm_anchor SEC(".maps");

/* A pointer that the verifier knows, as the number that it is. */
static __always_inline u64 pointer_number(const void *p)
{
	const void *volatile slot = p;
	u64 n = 0;

	bpf_probe_read_kernel(&n, sizeof(n), (const void *)&slot);
	return n;
}

static __always_inline void mm_learn_percpu(void)
{
	u32 zero = 0;
	struct mm_percpu *pc = bpf_map_lookup_elem(&mm_percpu, &zero);
	struct bpf_array *array;
	u64 base;

	if (HAVE_MM_RSS_STAT() || !pc || pc->known)
		return;
	array = (void *)pointer_number(&mm_anchor);
	base = (u64)BPF_CORE_READ(array, pptrs[0]);
	for (u32 cpu = 0; cpu < MW_MAX_CPUS; cpu++) {
		void *mine;

		if (cpu >= mm_nr_cpus)
			break;
		mine = bpf_map_lookup_percpu_elem(&mm_anchor, &zero, cpu);
		if (!mine)
			return;
		pc->off[cpu] = pointer_number(mine) - base;
	}
	pc->known = mm_nr_cpus;
}

/* The counters of mm, in pages. False: the per-CPU parts are missing. */
static __always_inline bool mm_read_rss(struct mm_struct *mm, struct mm_rss *r)
{
	s32 *part[NR_MM_COUNTERS];
	s64 sum[NR_MM_COUNTERS];
	struct mm_percpu *pc;
	bool whole = true;
	u32 zero = 0;

	if (HAVE_MM_RSS_STAT()) {
		struct mm_struct___mm_rss_stat *old = (void *)mm;

		/* indices are spelled out: CO-RE relocates only what is constant for the compiler
		 */
		r->pages[0] = BPF_CORE_READ(old, rss_stat.count[0].counter);
		r->pages[1] = BPF_CORE_READ(old, rss_stat.count[1].counter);
		r->pages[2] = BPF_CORE_READ(old, rss_stat.count[2].counter);
		r->pages[3] = BPF_CORE_READ(old, rss_stat.count[3].counter);
	} else {
		sum[0] = mm->rss_stat[0].count, part[0] = mm->rss_stat[0].counters;
		sum[1] = mm->rss_stat[1].count, part[1] = mm->rss_stat[1].counters;
		sum[2] = mm->rss_stat[2].count, part[2] = mm->rss_stat[2].counters;
		sum[3] = mm->rss_stat[3].count, part[3] = mm->rss_stat[3].counters;
		pc = bpf_map_lookup_elem(&mm_percpu, &zero);
		if (!pc || !pc->known)
			whole = false;
		for (u32 cpu = 0; whole && cpu < MW_MAX_CPUS; cpu++) {
			u64 off = pc->off[cpu];
			s32 v;

			if (cpu >= mm_nr_cpus)
				break;
#pragma unroll
			for (int i = 0; i < NR_MM_COUNTERS; i++) {
				if (bpf_probe_read_kernel(&v, sizeof(v), (void *)part[i] + off))
					whole = false;
				else
					sum[i] += v;
			}
		}
#pragma unroll
		for (int i = 0; i < NR_MM_COUNTERS; i++)
			r->pages[i] = sum[i];
	}
#pragma unroll
	for (int i = 0; i < NR_MM_COUNTERS; i++) {
		if (r->pages[i] < 0)
			r->pages[i] = 0;
	}
	return whole;
}

#endif
