/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h - the kernel types that the BPF programs read, kept by hand: only the fields used,
 * relocated by CO-RE to wherever the running kernel has them. Builds never look at the build
 * machine's own kernel. A field that moved or was renamed gets a flavour (name___suffix) here and
 * its bpf_core_field_exists() check beside it, nowhere else.
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
typedef __s32 s32;
typedef __s64 s64;

#ifndef NULL
#define NULL ((void *)0)
#endif
#define barrier() asm volatile("" ::: "memory")

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct vm_area_struct;

struct xol_area {
	unsigned long vaddr;
};

struct uprobes_state {
	struct xol_area *xol_area;
};

struct mm_struct {
	struct uprobes_state uprobes_state;
	int map_count;
	unsigned long brk;
	unsigned long total_vm; /* pages */
	unsigned long data_vm;
	unsigned long def_flags;
};

struct rlimit {
	unsigned long rlim_cur;
	unsigned long rlim_max;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	struct rlimit rlim[16];
};

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
};

#pragma clang attribute pop

/* The kernel's EINVAL and friends that programs compare with. */
#define MW_EBUSY 16
#define MW_EEXIST 17
#define MW_EFAULT 14

#define MW_VM_LOCKED 0x2000UL
#define MW_RLIMIT_DATA 2
#define MW_RLIMIT_AS 9

#endif
