/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gotrace.h - one record per GC cycle of a Go program: raw pieces of the runtime's structs, copied
 * when the cycle has ended. Their layout depends on the Go release; userspace knows it.
 */
#ifndef MEMWATCH_GOTRACE_H
#define MEMWATCH_GOTRACE_H

#ifndef __bpf__
#include <linux/types.h>
#include <assert.h>
#endif

#define MW_GO_WORK_MAX 384 /* bytes of runtime.work kept */
#define MW_GO_GC_MAX 448   /* of runtime.gcController */
#define MW_GO_MS_MAX 64	   /* of runtime.memstats */

struct mw_go_range {
	__u64 addr;
	__u32 len;
	__u32 pad;
};

/* Where the pieces are in one process; the key is the tgid. */
struct mw_go_config {
	struct mw_go_range work, gc, ms;
};

struct mw_go_cycle {
	__u32 tgid, tid;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u8 work[MW_GO_WORK_MAX];
	__u8 gc[MW_GO_GC_MAX];
	__u8 ms[MW_GO_MS_MAX];
};

enum { MW_GO_C_CYCLES, MW_GO_C_LOST_RING, MW_GO_C_UNREADABLE, MW_GO_C_COUNT };

#ifndef __bpf__
static_assert(sizeof(struct mw_go_cycle) == 16 + MW_GO_WORK_MAX + MW_GO_GC_MAX + MW_GO_MS_MAX,
	      "wire format");
#endif

#endif
