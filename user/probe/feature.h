/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * feature.h - what this kernel offers, asked by trying rather than by version.
 */
#ifndef PROBE_FEATURE_H
#define PROBE_FEATURE_H

#include <stdbool.h>
#include <stddef.h>

enum feature_id {
	FEATURE_BTF,
	FEATURE_RINGBUF,
	FEATURE_TP_BTF,
	FEATURE_COOKIE,
	FEATURE_UPROBE_MULTI,
	FEATURE_UPROBE_SESSION,
	FEATURE_FIND_VMA,
	FEATURE_TASK_ITER,
	FEATURE_VMA_ITER,
	FEATURE_SYSCALL_TP,
	FEATURE_RSS_STAT,
	FEATURE_PAGE_FAULT_TP,
	FEATURE_MARK_VICTIM,
	FEATURE_RECLAIM_TP,
	FEATURE_COMPACTION_TP,
	FEATURE_SCORE_TP,
	FEATURE_PAGEMAP_SCAN,
	FEATURE_COUNT,
};

struct feature {
	const char *name;
	const char *since;    /* the Linux release that brought it */
	const char *use;      /* what memwatch does with it */
	const char *fallback; /* what happens without */
	bool required;	      /* without it memwatch cannot attach at all */
	bool have;
	int err; /* why not: negative errno of the attempt */
};

struct features {
	struct feature f[FEATURE_COUNT];
	bool may_bpf;	      /* privileges to load programs at all */
	bool sparse_rss_stat; /* up to 6.1 kmem:rss_stat fires once per 64 faults only */
	bool prepare_exec;    /* has sched:sched_prepare_exec (6.10) */
};

/* Fills the table; takes some milliseconds. Needs no privileges, but without them everything that
 * has to be tried comes out as -EPERM. */
void features__probe(struct features *fs);

/* Do this process's capabilities suffice (CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, or
 * CAP_SYS_ADMIN)? */
bool features__privileged(void);

/* One line on what is missing to run at all, or NULL. Points into static memory. */
const char *features__missing(const struct features *fs);

/* Attach types that Debian 12's headers do not know yet (include/uapi/linux/bpf.h). */
#define MW_BPF_TRACE_UPROBE_MULTI 48
#define MW_BPF_TRACE_UPROBE_SESSION 57
/* flags of a uprobe_multi link */
#define MW_BPF_F_UPROBE_MULTI_RETURN 1

#endif
