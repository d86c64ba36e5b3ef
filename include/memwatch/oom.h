/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * oom.h - what bpf/oom.bpf.c sends about a kill. Kills have a ring buffer of their own, so that a
 * flood of allocation events cannot displace them. Times are CLOCK_MONOTONIC nanoseconds, sizes
 * are in pages unless the name says bytes.
 */
#ifndef MEMWATCH_OOM_H
#define MEMWATCH_OOM_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "memwatch/loss.h"

#define MW_OOM_COMM 16
#define MW_OOM_LEVELS 10 /* cgroups from the leaf upwards; a deeper path is cut at its root end */
#define MW_OOM_NAME 128	 /* bytes kept of one path component, with its NUL */
#define MW_OOM_CMDLINE 512
#define MW_OOM_DAEMONS 8 /* names of userspace OOM daemons */
#define MW_OOM_WINDOWS 2 /* of stalls: the last MW_OOM_SHORT_S and MW_OOM_LONG_S seconds */
#define MW_OOM_SHORT_S 10
#define MW_OOM_LONG_S 60

enum mw_oom_kind {
	MW_OOM_KERNEL = 1, /* the kernel's OOM killer */
	MW_OOM_DAEMON,	   /* a signal from a userspace OOM daemon */
};

/* What ended within the last seconds before a kill, the one that runs included. */
struct mw_oom_stall {
	__u64 cnt[MW_OOM_WINDOWS];
	__u64 ns[MW_OOM_WINDOWS];    /* summed over tasks */
	__u64 pages[MW_OOM_WINDOWS]; /* freed; of reclaim alone */
};

/* Who last wrote an oom_score_adj. */
struct mw_oom_writer {
	__u64 time_ns; /* 0: not seen */
	__u32 pid;     /* process that wrote */
	__u32 target;  /* process whose value it was: the victim, or the parent it has it from */
	__s32 value;
	__u32 pad;
	char comm[MW_OOM_COMM]; /* of the writer, then */
};

/* One memory cgroup. A max of ~0 pages (or LONG_MAX / page size) is no limit. */
struct mw_oom_level {
	__u64 usage, max;
	__u64 swap_usage, swap_max;  /* v1: memory+swap; v2: swap alone */
	struct mw_oom_stall reclaim; /* of the tasks in it and below */
	char name[MW_OOM_NAME];	     /* path component; "" in the root group */
};

struct mw_oom_task {
	__u32 pid, tgid, uid;
	__s32 oom_score_adj;
	__u64 start_ns; /* CLOCK_BOOTTIME; group leader's */
	__u64 total_vm, file, anon, swap, shmem;
	__u64 pgtables_bytes;
	char comm[MW_OOM_COMM];	  /* of the group leader */
	char thread[MW_OOM_COMM]; /* of the thread itself */
	__u32 nlevels;
	__u32 cut; /* 1: the cgroup path is deeper than MW_OOM_LEVELS */
};

struct mw_ev_oom {
	__u64 time_ns;
	__u32 kind;   /* enum mw_oom_kind */
	__u32 signal; /* what was sent */
	struct mw_oom_task victim;
	struct mw_oom_task trigger; /* the task that needed memory; DAEMON: the sender */
	struct mw_oom_level victim_cgroup[MW_OOM_LEVELS];
	char trigger_cgroup[MW_OOM_LEVELS][MW_OOM_NAME];
	struct mw_oom_stall machine_reclaim, machine_compaction;
	struct mw_oom_stall victim_reclaim, victim_compaction; /* of the process */
	struct mw_oom_stall trigger_reclaim, trigger_compaction;
	struct mw_oom_writer score;   /* of the victim's oom_score_adj */
	__u32 cmdline_len;	      /* 0: not readable from where the program ran */
	char cmdline[MW_OOM_CMDLINE]; /* NUL-separated */
};

/* Counters of bpf/oom.bpf.c. */
enum mw_oom_counter {
	MW_OOM_C_KILLS, /* kills seen */
#define X(name, text, means) MW_OOM_C_LOST_##name,
	MW_OOM_LOSSES(X)
#undef X
		MW_OOM_C_EXITING, /* mark_victim for a process that was dying anyway: no kill */
	MW_OOM_C_COUNT,
};

#endif
