/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mm.h - what the memory-residency programs (bpf/task.bpf.c, bpf/mm.bpf.c) send to userspace.
 *
 * All sizes are bytes; times are CLOCK_BOOTTIME nanoseconds (the clock of a task's start time),
 * except where said. A process is (tgid, start_ns): PIDs are reused, this pair is not.
 */
#ifndef MEMWATCH_MM_H
#define MEMWATCH_MM_H

#ifndef __bpf__
#include <linux/types.h>
#include <assert.h>
#endif

#define MW_MM_COMM_LEN 16

enum mw_task_flags {
	MW_TASK_KTHREAD = 1, /* kernel thread: no memory of its own */
	MW_TASK_NO_MM = 2,   /* exiting or zombie: its memory is gone */
	MW_TASK_TORN = 4,    /* the address space changed while it was read: sizes are not valid */
	MW_TASK_APPROX = 8,  /* RSS without the per-CPU parts (or from /proc's batched counters) */
	MW_TASK_PEAK = 16,   /* peak_* are those of the interval, from events; else not known */
};

/* One process, as one pass of the task iterator saw it. */
struct mw_task_row {
	__u32 tgid, ppid;
	__u32 uid; /* effective */
	__u32 flags;
	__s32 oom_score_adj;
	__u32 nr_threads;
	__u64 start_ns;
	__u64 cgroup_id; /* unified hierarchy; 0 if unknown */
	__u64 virt_bytes;
	__u64 anon_bytes, file_bytes, shmem_bytes, swap_bytes;
	__u64 pgtables_bytes, locked_bytes;
	__u64 hiwater_rss_bytes,
		hiwater_virt_bytes; /* over the image's life; at least the present */
	/* the moment of the highest RSS since the pass before */
	__u64 peak_anon_bytes, peak_file_bytes, peak_shmem_bytes, peak_virt_bytes;
	__u64 peak_time_ns; /* CLOCK_MONOTONIC */
	__u64 mm;	    /* identity of the address space */
	char comm[MW_MM_COMM_LEN];
};

static inline __u64 mw_task_row__rss(const struct mw_task_row *r)
{
	return r->anon_bytes + r->file_bytes + r->shmem_bytes;
}

static inline __u64 mw_task_row__peak_rss(const struct mw_task_row *r)
{
	return r->peak_anon_bytes + r->peak_file_bytes + r->peak_shmem_bytes;
}

enum mw_mm_ev_type {
	MW_MM_EXEC = 1, /* a new image; rss: of the new one, peak: of the old one */
	MW_MM_EXIT,	/* the last thread is gone; rss: at the end, peak: since the pass before */
};

struct mw_mm_ev {
	__u32 type;
	__u32 tgid, ppid;
	__s32 exit_code; /* EXIT: as wait(2) gives it */
	__u64 start_ns;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 rss_bytes, virt_bytes;
	__u64 anon_bytes, file_bytes, shmem_bytes, swap_bytes;
	__u64 peak_anon_bytes, peak_file_bytes, peak_shmem_bytes; /* since the pass before */
	__u64 peak_virt_bytes, peak_time_ns;
	__u64 hiwater_rss_bytes; /* of the process's life as far as it was seen */
	char comm[MW_MM_COMM_LEN];
};

/* Counters of bpf/mm.bpf.c, per CPU. */
enum mw_mm_counter {
	MW_MM_C_UPDATES,   /* ticks or rss_stat events that led to adding up an address space */
	MW_MM_C_LOST_SLOT, /* address spaces without interval peaks: table full */
	MW_MM_C_LOST_RING, /* exec and exit events lost: ring full */
	MW_MM_C_COUNT,
};

#ifndef __bpf__
static_assert(sizeof(struct mw_task_row) == 176, "wire format");
static_assert(sizeof(struct mw_mm_ev) == 144, "wire format");
#endif

#endif
