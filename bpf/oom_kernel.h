/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * oom_kernel.h - the kernel types that an OOM kill is read from (bpf/oom.bpf.c): memory, cgroups,
 * credentials. As kernel.h; apart from it, so that a test can be their kernel.
 */
#ifndef BPF_OOM_KERNEL_H
#define BPF_OOM_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* atomic_long_t: CO-RE takes no integer for a structure. */
struct atomic_long___oom {
	s64 counter;
};
struct percpu_counter___oom {
	s64 count;
};
/* 6.2 and later (f1a7941243c1): the counters are per-CPU; the kernel's own log reads .count. */
struct mm_struct___oom {
	unsigned long total_vm, arg_start, arg_end;
	struct atomic_long___oom pgtables_bytes;
	struct percpu_counter___oom rss_stat[4];
};
/* Before 6.2: one structure of atomics. */
struct mm_rss_stat___old {
	struct atomic_long___oom count[4];
};
struct mm_struct___rss_old {
	struct mm_rss_stat___old rss_stat;
};

struct kernfs_node___oom {
	const char *name;
	struct kernfs_node___oom *parent;
};
/* 6.15 and later (633488947ef6): the parent is RCU-protected and renamed. */
struct kernfs_node___rcu {
	struct kernfs_node___oom *__parent;
};
struct cgroup___oom {
	struct kernfs_node___oom *kn;
};
struct cgroup_subsys_state___oom {
	struct cgroup___oom *cgroup;
	struct cgroup_subsys_state___oom *parent;
	u64 serial_nr; /* never used twice */
};
struct css_set___oom {
	struct cgroup_subsys_state___oom *subsys[16];
};
enum cgroup_subsys_id___oom { memory_cgrp_id___oom = 4 };
struct page_counter___oom {
	struct atomic_long___oom usage;
	unsigned long max;
};
struct mem_cgroup___oom {
	struct cgroup_subsys_state___oom css;
	struct page_counter___oom memory;
	struct page_counter___oom swap; /* v1: memsw in the same place */
};

struct signal_struct___oom {
	short oom_score_adj;
};
struct kuid___oom {
	u32 val;
};
struct cred___oom {
	struct kuid___oom uid;
};
struct task_struct___oom {
	unsigned int flags;
	int pid;
	int tgid;
	char comm[16];
	struct mm_struct___oom *mm;
	struct task_struct___oom *group_leader;
	struct task_struct___oom *real_parent;
	u64 start_boottime;
	struct css_set___oom *cgroups;
	struct signal_struct___oom *signal;
	const struct cred___oom *real_cred;
};

#pragma clang attribute pop

#endif
