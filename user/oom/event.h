/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event.h - one OOM kill with its evidence, as plain data of fixed size: it is filled in while the
 * machine is out of memory, so nothing in it is allocated.
 */
#ifndef OOM_EVENT_H
#define OOM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/kmsg.h"
#include "sys/psi.h"

#define OOM_UNKNOWN UINT64_MAX
#define OOM_NO_LIMIT (UINT64_MAX - 1)
#define OOM_NO_ADJ INT32_MIN
#define OOM_TASKS KMSG_TASKS
#define OOM_POINTS 64
#define OOM_TMPFS 6
#define OOM_TMPFS_PATH 128
#define OOM_COMM 32
#define OOM_CMDLINE 512
#define OOM_PATH 1024

/* Where the facts come from. */
#define OOM_FROM_PROBE 1 /* seen in the kernel, at the moment of the kill */
#define OOM_FROM_KMSG 2	 /* read from the kernel's log */

struct oom_proc {
	uint32_t pid;	       /* process; 0: unknown */
	uint32_t tid;	       /* thread */
	uint32_t uid;	       /* UINT32_MAX: unknown */
	uint64_t start_ns;     /* CLOCK_BOOTTIME; 0: unknown */
	int32_t oom_score_adj; /* OOM_NO_ADJ: not told */
	char comm[OOM_COMM];
	char cmdline[OOM_CMDLINE]; /* arguments joined by spaces; "" unknown */
	char cgroup[OOM_PATH];	   /* memory cgroup; "" unknown */
	uint64_t total_vm_bytes, anon_rss_bytes, file_rss_bytes, shmem_rss_bytes, swap_bytes,
		pgtables_bytes; /* OOM_UNKNOWN where not known */
};

struct oom_point {
	int64_t time_unix_ms;
	uint64_t virt_bytes, rss_bytes, shared_bytes; /* shared: file and shmem */
};

/* What of one kind ended in the last 10 s [0] and in the last 60 s [1] before the kill. */
#define OOM_WINDOWS 2
struct oom_stall {
	uint64_t cnt[OOM_WINDOWS];
	uint64_t ns[OOM_WINDOWS];    /* summed over tasks */
	uint64_t bytes[OOM_WINDOWS]; /* freed; of reclaim alone */
};

/* How those who needed memory were held up before the kill. */
struct oom_stalls {
	bool has_reclaim, has_compaction; /* false: not watched */
	uint32_t watched_s;	   /* of the last 60, rounded up: less after memwatch's start */
	char group_path[OOM_PATH]; /* that hit its limit, else the victim's; "": the root */
	struct oom_stall group;	   /* reclaim by the tasks in it */
	struct oom_stall machine, victim, trigger; /* reclaim */
	struct oom_stall machine_compaction, victim_compaction, trigger_compaction;
};

/* Who wrote the victim's oom_score_adj, if memwatch saw it. */
struct oom_writer {
	uint32_t pid; /* 0: not seen */
	uint32_t of;  /* process it was written for: the victim, or whom the victim has it from */
	char comm[OOM_COMM];
	int64_t time_unix_ms;
};

struct oom_event {
	int64_t time_unix_ms;
	uint64_t time_ns;    /* CLOCK_MONOTONIC */
	uint64_t seq;	     /* of the kernel's log record; OOM_UNKNOWN: none */
	char boot_id[40];    /* the boot whose log that is; "" unknown */
	unsigned from;	     /* OOM_FROM_* */
	bool has_time;	     /* false: a saved log that counts from the boot alone; see boot_us */
	uint64_t boot_us;    /* of a saved log: since its boot; OOM_UNKNOWN: not told */
	bool by_daemon;	     /* a userspace OOM daemon (the trigger) did it */
	bool no_victim;	     /* nobody could be killed */
	uint32_t repeats;    /* of no_victim: further ones of the same group that this stands for;
				seq and the time are the last one's */
	uint64_t first_seq;  /* of repeats: of the first one; OOM_UNKNOWN: no repeats */
	uint32_t chosen_pid; /* kernels before 5.0: the victim is a child of this one; 0: no */
	bool has_order;
	int32_t order;	     /* of the allocation, log2 pages; -1: by hand (SysRq-f) */
	bool has_constraint; /* false: the kernel's log did not say */
	int signal;
	struct oom_proc victim, trigger;
	enum oom_constraint constraint;
	bool is_group;
	/* the group that hit its limit */
	char memcg[OOM_PATH]; /* "": none */
	uint64_t limit_bytes, usage_bytes;
	uint64_t swap_limit_bytes, swap_usage_bytes;   /* v2: swap alone */
	uint64_t memsw_limit_bytes, memsw_usage_bytes; /* v1: memory and swap */
	/* what was in that group, or in the machine */
	bool has_stat, stat_from_kernel; /* from its report; else read a moment later */
	struct cgroup_stat stat;
	struct oom_tmpfs {
		char path[OOM_TMPFS_PATH]; /* where it is mounted, as the victim or memwatch saw it
					    */
		uint64_t used_bytes;
	} tmpfs[OOM_TMPFS]; /* largest first; they are charged to whoever wrote to them */
	size_t ntmpfs;
	/* the machine */
	uint64_t mem_total_bytes, mem_free_bytes, mem_available_bytes;
	uint64_t swap_total_bytes, swap_free_bytes;
	bool free_from_kernel; /* at the kill; else read a moment later */
	struct psi psi;
	struct oom_stalls stalls;
	struct oom_writer score;
	struct kmsg_task tasks[OOM_TASKS];
	size_t ntasks;
	bool tasks_from_kernel; /* candidates in the kernel's own report; else read just after */
	struct oom_point timeline[OOM_POINTS];
	size_t npoints;
	double growth_bytes_per_s; /* over the timeline; 0 unknown */
	char profile[OOM_PATH];	   /* file with its in-use profile; "": none */
};

/* Nothing known. */
void oom_event__init(struct oom_event *e);

/* Adds what the kernel's log alone knows, or knows better than the probe. Not the time. */
void oom_event__from_log(struct oom_event *e, const struct kmsg_kill *k);

#endif
