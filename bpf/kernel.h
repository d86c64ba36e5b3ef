/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h - the kernel types that the BPF programs read, kept by hand: only the fields used,
 * relocated by CO-RE to wherever the running kernel has them. Builds never look at the build
 * machine's own kernel. A field that moved or was renamed gets a flavour (name___suffix) here and
 * its bpf_core_field_exists() check beside it, nowhere else. (What an OOM kill is read from:
 * oom_kernel.h.)
 */
#ifndef BPF_KERNEL_H
#define BPF_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <asm/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#ifndef NULL
#define NULL ((void *)0)
#endif
#define barrier() asm volatile("" ::: "memory")

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct user_namespace {
	int level; /* 0: the first one */
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	int s_stack_depth; /* of file systems that lie below */
	struct user_namespace *s_user_ns;
	void *s_fs_info;
};

struct dentry {
	struct super_block *d_sb;
};

struct path {
	struct dentry *dentry;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	u32 i_generation;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct mm_struct;

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

struct xol_area {
	unsigned long vaddr;
};

struct uprobes_state {
	struct xol_area *xol_area;
};

typedef struct {
	long counter;
} mw_atomic_long_t;

struct percpu_counter {
	s64 count;
	s32 *counters; /* per CPU: what is not yet folded into count */
};

struct return_instance {
	unsigned long stack; /* user address where the return address was */
	unsigned long orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct mm_context { /* mm_context_t */
	void *vdso;
	unsigned long flags; /* narrower before 6.4; bit 0: of a 32-bit program */
};

struct mm_struct {
	struct mm_context context;
	struct uprobes_state uprobes_state;
	unsigned long hiwater_rss, hiwater_vm; /* pages */
	unsigned long total_vm, locked_vm;     /* pages */
	unsigned long data_vm;
	mw_atomic_long_t pgtables_bytes;
	struct percpu_counter rss_stat[4]; /* 6.2 (f1a7941243c1) and later */
	struct task_struct *owner;	   /* CONFIG_MEMCG */
};

struct mm_rss_stat { /* up to 6.1 */
	mw_atomic_long_t count[4];
};
struct mm_struct___mm_rss_stat {
	struct mm_rss_stat rss_stat;
} __attribute__((preserve_access_index));
#define HAVE_MM_RSS_STAT() bpf_core_type_exists(struct mm_rss_stat)

typedef struct {
	unsigned int val;
} mw_kuid_t;

struct cred {
	mw_kuid_t euid;
	struct user_namespace *user_ns;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
	int nr_threads;
	short oom_score_adj;
	unsigned long maxrss; /* pages: the highest RSS of the images that ended */
};

struct kernfs_node {
	u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp; /* of the unified hierarchy */
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	int exit_code;
	char comm[16];
	struct mm_struct *mm;
	struct uprobe_task *utask;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	const struct cred *cred;
	struct files_struct *files;
	struct css_set *cgroups;
	u64 start_boottime; /* 5.5 and later */
};

struct bpf_array {	/* the kernel's side of an array map */
	void *pptrs[1]; /* per-CPU arrays: the per-CPU pointer of each element */
};

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

#pragma clang attribute pop

#define PF_EXITING 0x4
#define PF_KTHREAD 0x200000

/* The kernel's EINVAL and friends that programs compare with. */
#define MW_EBUSY 16
#define MW_EEXIST 17
#define MW_EFAULT 14

#endif
