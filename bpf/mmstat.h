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
extern const volatile u32 mm_nr_cpus;
extern const volatile u32 mm_page_shift;

struct mm_rss {
	s64 pages[NR_MM_COUNTERS];
};

static __always_inline s64 mm_rss_total(const struct mm_rss *r)
{
	return r->pages[MM_FILEPAGES] + r->pages[MM_ANONPAGES] + r->pages[MM_SHMEMPAGES];
}

/* How far this CPU's copy of every per-CPU variable is from the variable's own address. */
static __always_inline bool percpu_offset(u32 cpu, u64 *off)
{
	const void *p = bpf_per_cpu_ptr(&runqueues, cpu);

	if (!p)
		return false;
	*off = (u64)p - (u64)&runqueues;
	return true;
}

/* The counters of mm, in pages. False: the per-CPU parts are missing. */
static __always_inline bool mm_read_rss(struct mm_struct *mm, struct mm_rss *r)
{
	s32 *part[NR_MM_COUNTERS];
	s64 sum[NR_MM_COUNTERS];
	bool whole = true;

	if (HAVE_MM_RSS_STAT()) {
		struct mm_struct___mm_rss_stat *old = (void *)mm;

#pragma unroll
		for (int i = 0; i < NR_MM_COUNTERS; i++)
			r->pages[i] = BPF_CORE_READ(old, rss_stat.count[i].counter);
	} else {
#pragma unroll
		for (int i = 0; i < NR_MM_COUNTERS; i++) {
			sum[i] = mm->rss_stat[i].count;
			part[i] = mm->rss_stat[i].counters;
		}
		for (u32 cpu = 0; cpu < MW_MAX_CPUS; cpu++) {
			u64 off = 0;
			s32 v;

			if (cpu >= mm_nr_cpus)
				break;
			if (!&runqueues || !percpu_offset(cpu, &off)) {
				whole = false;
				break;
			}
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
