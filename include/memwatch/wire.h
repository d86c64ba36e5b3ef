/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wire.h - what the BPF programs send to userspace, and the tables both sides share.
 *
 * One ring buffer carries every event in the order of its reservation. That order is what makes
 * address reuse safe: an allocation is reported before the allocator returns it to the program, a
 * free before the allocator sees it, so a block's free always precedes the next allocation at the
 * same address.
 *
 * All times are CLOCK_MONOTONIC nanoseconds (bpf_ktime_get_ns). All sizes are bytes. `target` is
 * the small index that userspace gave to a process (MW_MAX_TARGETS at most).
 */
#ifndef MEMWATCH_WIRE_H
#define MEMWATCH_WIRE_H

#ifndef __bpf__
#include <linux/types.h>
#include <assert.h>
#endif

#include "memwatch/allocators.h"
#include "memwatch/loss.h"

#define MW_WIRE_VERSION 3

#define MW_MAX_TARGETS 1024
#define MW_STRANGER MW_MAX_TARGETS /* hdr.target of a process that has no index (yet) */
#define MW_MAX_FRAMES 1024 /* frames kept of one stack; a deeper one is cut at the root end */
#define MW_COMM_LEN 16

enum mw_ev_type {
	MW_EV_NONE = 0,
	MW_EV_ALLOC,   /* struct mw_ev_alloc: one block handed out */
	MW_EV_FREE,    /* struct mw_ev_free: one block given back */
	MW_EV_UNFREE,  /* struct mw_ev_free: the free before it did not happen (realloc failed) */
	MW_EV_STACK,   /* struct mw_ev_stack: a stack seen for the first time */
	MW_EV_MAP,     /* struct mw_ev_map: anonymous memory mapped, unmapped, moved, brk */
	MW_EV_EXECMAP, /* struct mw_ev_hdr: the target mapped a file executable: look again */
	MW_EV_FORK,    /* struct mw_ev_proc: a target forked (MW_STRANGER: another process) */
	MW_EV_EXEC,    /* struct mw_ev_proc: a target (or another) replaced its image */
	MW_EV_EXIT,    /* struct mw_ev_proc: a target's last thread is gone */
	MW_EV_SHARER,  /* struct mw_ev_proc: one that ran in a target's memory ended, or, with its
			* kind 1, called exec */
	MW_EV_THREAD_END, /* struct mw_ev_proc: the thread of struct mw_target ends, others live */
	MW_EV_UNKNOWN_FILE, /* struct mw_ev_file: the unwinder met a file without a table */
	MW_EV_FAULT,	    /* struct mw_ev_fault: one page fault of many */
	MW_EV_COPY,	    /* struct mw_ev_copy: a stack to be walked on, once there is a table */
	MW_EV_WEIGHED,	    /* struct mw_ev_weighed: a block that the target has sampled itself */
	MW_EV_TYPES,
};

struct mw_ev_hdr {
	__u8 type;    /* enum mw_ev_type */
	__u8 kind;    /* ALLOC and FREE: enum mw_fn; MAP: enum mw_map_op; FORK: 1 if the child runs
		       * in the memory of its parent (vfork) */
	__u16 target; /* index of the process, or MW_STRANGER */
	__u32 tid;    /* the thread that caused it (initial PID namespace) */
	__u64 time_ns;
};

/* Functions of the allocator family, by their signatures: allocators.h. */
#define MW_FN_ENUM_(name, ...) MW_FN_##name,
enum mw_fn { MW_FN_NONE = 0, MW_SIGNATURES(MW_FN_ENUM_) MW_FN_COUNT };

struct mw_ev_alloc {
	struct mw_ev_hdr hdr;
	__u64 addr;
	__u64 size;  /* bytes asked for, not the allocator's size class */
	__u64 stack; /* id of an earlier MW_EV_STACK, 0 if the stack could not be had */
};

struct mw_ev_weighed {
	struct mw_ev_alloc alloc;
	__u64 weight; /* bytes of all allocations that it stands for */
};

#define MW_FREE_REALLOC 1 /* mw_ev_free.flags: old block of a realloc, an UNFREE may follow */

struct mw_ev_free {
	struct mw_ev_hdr hdr;
	__u64 addr;
	__u64 flags;
};

/*
 * All program counters but the first (see leaf_ret) are return addresses, to be looked up at pc-1;
 * where a signal interrupted a function, pc is given one higher, so that this holds there too.
 */
#define MW_LEAF_RET 1	 /* the first frame too is a return address (taken at a return probe) */
#define MW_LEAF_STUB 4	 /* with the former: at a stub's site, where it is still on the stack */
#define MW_LEAF_INSIDE 2 /* the first frame is the allocator's own: leave it out */

struct mw_ev_stack {
	struct mw_ev_hdr hdr; /* kind: enum mw_stack_end */
	__u64 id;
	__u32 n;	/* frames: as many __u64 program counters follow, leaf first */
	__u32 leaf_ret; /* MW_LEAF_* */
	__u32 pid;	/* the process */
	__u32 epoch;	/* of its address space: the same frames mean other code in another */
};

/*
 * The kernel's walk met code without a table. What it takes to go on from there: registers, the
 * stack from sp on, and return addresses that are not on it. The frames so far follow (st.n; the
 * last is where the walk stopped), then chunks of the stack: those that are not as they were in the
 * last copy of this thread's stack.
 */
#define MW_STACK_COPY                                                               \
	(1ULL << 63) /* marks the id of a copy, which one event has; hashes lack it \
		      */
#define MW_COPY_CHUNK 1024
#define MW_COPY_CHUNKS 512 /* one bit each, in words of 64 */
#define MW_COPY_REGS 21	   /* words of pt_regs */
#define MW_COPY_REPLACED 8

struct mw_ev_copy {
	struct mw_ev_stack st;
	__u64 pc, sp, fp;
	__u64 gregs, trampoline; /* as in struct mw_walk */
	__u64 start, end, off;	 /* the mapping around pc: addresses, file offset of start */
	__u64 dev, ino, gen;	 /* and its file: struct mw_unwind_key */
	__u64 base;		 /* address of the first chunk: sp, rounded down */
	__u64 there[MW_COPY_CHUNKS / 64]; /* chunks that could be read */
	__u64 sent[MW_COPY_CHUNKS / 64];  /* those of them that follow */
	__u32 exact, guessed;		  /* as in struct mw_walk */
	__u32 n_replaced, pad;
	struct {
		__u64 at, pc; /* where a return probe put its trampoline, and what was there */
	} replaced[MW_COPY_REPLACED];
	__u64 regs[MW_COPY_REGS]; /* of the interrupted code, where that is the last frame */
};

enum mw_map_op {
	MW_MAP_MMAP = 1, /* addr, size: anonymous memory mapped */
	MW_MAP_MUNMAP,	 /* addr, size: any range unmapped */
	MW_MAP_MREMAP,	 /* old_addr, old_size → addr, size */
	MW_MAP_BRK,	 /* addr: new break, old_addr: the one before */
};

struct mw_ev_map {
	struct mw_ev_hdr hdr;
	__u64 addr, size;
	__u64 old_addr, old_size;
	__u64 stack;
};

struct mw_ev_proc {
	struct mw_ev_hdr hdr;
	__u32 pid;    /* the process meant: FORK: the child's */
	__u32 parent; /* FORK: the parent's; EXEC: the thread that called it */
	char comm[MW_COMM_LEN];
};

struct mw_ev_file {
	struct mw_ev_hdr hdr;
	__u64 dev, ino, gen; /* the unwinder's key of the file */
	__u64 pc;
	__u32 pid; /* the process */
	__u32 pad;
};

struct mw_ev_fault {
	struct mw_ev_hdr hdr;
	__u64 addr; /* that was touched */
	__u64 stack;
	__u32 pid;
	__u32 pad;
};

/* Counters of one target, per CPU; userspace adds them up. Row MW_STRANGER is that of processes
 * without an index. Every way to lose something has one (loss.h). */
enum mw_counter {
	MW_C_ALLOCS, /* successful or not yet known to have failed: calls entered */
	MW_C_ALLOC_BYTES,
	MW_C_FREES,	     /* calls with a pointer that is not NULL */
	MW_C_SAMPLED_ALLOCS, /* blocks that went (or should have gone) into the profile */
	MW_C_SAMPLED_FREES,
	MW_C_FAILED_ALLOCS, /* the allocator returned NULL, for sampled calls */
	MW_C_NESTED,	    /* calls from inside another allocator call, not counted again */
	MW_C_NULL_FREES,    /* free(NULL): only the probe's cost counts */
	MW_C_STEPPED,	    /* hits of probes at single-stepped instructions */
	MW_C_RETS,	    /* hits of probes on ret instructions, single-stepped */
	MW_C_RETURNS,	    /* return probes taken */
	MW_C_REALLOCS,	    /* calls that are among allocations and frees, in one hit */
	MW_C_SAMPLE_NS,	    /* time spent in the programs on calls bound for the profile */
	MW_C_TIMED_FREES,   /* frees whose program was timed, */
	MW_C_TIMED_FREE_NS, /* … and what they took */
	MW_C_LOST,	    /* MW_LOSS_KERNEL counters follow: what is missing, by cause */
	MW_C_LOST_BYTES = MW_C_LOST + MW_LOSS_KERNEL, /* MW_LOSS_SIZED: the bytes of the first */
	MW_C_STACK_END = MW_C_LOST_BYTES + MW_LOSS_SIZED, /* MW_STACK_ENDS: how stacks ended */
	MW_C_COUNT = MW_C_STACK_END + MW_STACK_ENDS,
};

/*
 * The attach cookie of an allocator probe. Links are per process, so the process's index rides
 * in the cookie and the hot path needs no table look-up.
 */
#define MW_COOKIE(target, fn, site) ((__u64)(target) | (__u64)(fn) << 16 | (__u64)(site) << 32)
/* or'ed in: */
#define MW_COOKIE_STEPPED (1ULL << 24) /* the probed instruction is single-stepped */
#define MW_COOKIE_CALLER (2ULL << 24)  /* the function calls others of the family */
#define MW_COOKIE_LAYER (4ULL << 24)   /* its module may lie over other allocators */
#define MW_COOKIE_TARGET(c) ((__u32)((c)&0xffff))
#define MW_COOKIE_FN(c) ((__u32)((c) >> 16 & 0xff))
#define MW_COOKIE_SITE(c) ((__u32)((c) >> 32))

/* Key of a live sampled block: its address, and the process's index above that. */
#define MW_ADDR_BITS 48
#define MW_LIVE_KEY(target, addr) ((__u64)(addr) | (__u64)(target) << MW_ADDR_BITS)

/* A process under observation. */
struct mw_target {
	__u32 index;
	__u32 thread; /* the one whose memory the probes go by; 0: they go by the process */
	__u32 sharer; /* the process only runs in the target's memory (clone, vfork) */
	__u32 pad;
};

#ifndef __bpf__
static_assert(sizeof(struct mw_ev_hdr) == 16, "wire format");
static_assert(sizeof(struct mw_ev_alloc) == 40, "wire format");
static_assert(sizeof(struct mw_ev_weighed) == 48, "wire format");
static_assert(sizeof(struct mw_ev_free) == 32, "wire format");
static_assert(sizeof(struct mw_ev_fault) == 40, "wire format");
static_assert(sizeof(struct mw_ev_map) == 56, "wire format");
static_assert(sizeof(struct mw_ev_file) == 56, "wire format");
static_assert(sizeof(struct mw_ev_stack) == 40, "wire format");
static_assert(sizeof(struct mw_ev_copy) == 576, "wire format");
#endif

#endif
