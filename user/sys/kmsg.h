/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kmsg.h - the kernel log: a reader of /dev/kmsg with sequence numbers, and a pure parser of what
 * the kernel writes about an OOM kill (mm/oom_kill.c, mm/memcontrol.c; 3.10 to 7.x).
 *
 * The parser keeps the context of one report (who asked for memory, limits, candidates) and gives
 * a kill when its "Killed process" line arrives. The kernel rate-limits the context, never that
 * line: a kill without context has has_context false. Lines are untrusted: names of programs and
 * cgroups are whatever their owners chose. Fixed memory, no allocation.
 */
#ifndef SYS_KMSG_H
#define SYS_KMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/cgroup.h"

#define KMSG_RECORD_MAX 8192 /* longest record the kernel gives */
#define KMSG_TASKS 16	     /* largest candidates kept of a report */
#define KMSG_PATH 1024
#define KMSG_NONE UINT64_MAX /* the log did not say */

enum oom_constraint {
	OOM_CONSTRAINT_NONE, /* machine-wide */
	OOM_CONSTRAINT_CPUSET,
	OOM_CONSTRAINT_MEMPOLICY,
	OOM_CONSTRAINT_MEMCG,
};

/* One line of the kernel's table of candidates. */
struct kmsg_task {
	uint32_t pid, tgid, uid;
	int32_t oom_score_adj;
	uint64_t total_vm_bytes, rss_bytes, pgtables_bytes, swap_bytes;
	char comm[32];
};

struct kmsg_kill {
	uint64_t seq;	  /* of the "Killed process" record */
	uint64_t time_us; /* its time stamp: the kernel's log clock since boot */
	/* from the "Killed process" line; KMSG_NONE where an old kernel does not print it */
	uint32_t pid, uid;
	int32_t oom_score_adj;
	char comm[32];
	uint64_t total_vm_bytes, anon_rss_bytes, file_rss_bytes, shmem_rss_bytes, pgtables_bytes;
	bool has_adj;
	bool no_victim; /* "no killable processes": nobody was killed; pid is 0 */
	bool is_memcg;	/* a limit was hit, not the machine's end of memory */
	bool is_group;	/* a further member of a group that is killed as a whole */
	/* from the context */
	bool has_context;
	bool has_constraint; /* false: which of them is not told (before 5.0, or rate-limited) */
	enum oom_constraint constraint;
	char trigger_comm[32];
	uint32_t trigger_pid; /* 0: not known */
	uint32_t chosen_pid;  /* before 5.0: who was chosen; a child of it may have been killed */
	bool has_order;
	int32_t order; /* of the allocation, log2 pages; -1: SysRq-f */
	char oom_memcg[KMSG_PATH], task_memcg[KMSG_PATH]; /* "" if not known */
	uint64_t usage_bytes, limit_bytes;		  /* of oom_memcg */
	uint64_t memsw_usage_bytes, memsw_limit_bytes;	  /* v1 */
	uint64_t swap_usage_bytes, swap_limit_bytes;	  /* v2 */
	uint64_t free_bytes, total_bytes;		  /* of the machine */
	uint64_t swap_free_bytes, swap_total_bytes;	  /* of the machine */
	bool has_stat;
	struct cgroup_stat stat;	    /* of oom_memcg; without one, of the machine */
	bool has_table;			    /* of candidates */
	struct kmsg_task tasks[KMSG_TASKS]; /* largest RSS first */
	size_t ntasks, ntasks_seen;
};

/* The order of candidates: largest RSS first (for qsort). */
int kmsg__by_rss(const void *a, const void *b);

/* Columns of the table of candidates that are kept. */
enum kmsg_column {
	KMSG_COL_OTHER,
	KMSG_COL_UID,
	KMSG_COL_TGID,
	KMSG_COL_TOTAL_VM,
	KMSG_COL_RSS,
	KMSG_COL_PTES,
	KMSG_COL_PGTABLES,
	KMSG_COL_SWAP,
	KMSG_COL_ADJ,
	KMSG_COLUMNS,
};
#define KMSG_COLUMNS_MAX 16

struct kmsg_parser {
	struct kmsg_kill cur;
	uint64_t page_bytes;
	bool lenient;	 /* a cut line is a kill too: saved logs may be damaged */
	bool group;	 /* "are going to be killed due to memory.oom.group" */
	bool after_kill; /* the context has had its kill */
	bool in_stat, in_meminfo;
	size_t ncolumns; /* of the table that is being read; 0: none is */
	uint8_t column[KMSG_COLUMNS_MAX];
};

void kmsg_parser__init(struct kmsg_parser *p, uint64_t page_bytes);

/*
 * Takes one line of the log (without priority or time stamp). True if it completed a kill, or an
 * OOM in which nobody could be killed: p->cur describes it until the next call.
 */
bool kmsg_parser__feed(struct kmsg_parser *p, const char *line, uint64_t seq, uint64_t time_us);

/*
 * Splits a raw /dev/kmsg record in place: "prio,seq,time,flags[,…];text\n KEY=value\n…". *ret_text
 * points at the NUL-terminated text, its \xNN escapes undone. 0 or -EBADMSG.
 */
int kmsg__split(char *record, uint64_t *ret_seq, uint64_t *ret_time_us, unsigned *ret_facility,
		const char **ret_text);

/* A decimal number behind any blanks; *ret_end (may be NULL) behind it. False: none, or too large.
 */
bool kmsg__number(const char *text, uint64_t *ret, const char **ret_end);

/* --- the reader --- */

struct kmsg {
	int fd;
	uint64_t next_seq; /* of the record expected next; 0: none read yet */
	uint64_t lost;	   /* records overwritten before they were read */
	struct kmsg_parser parser;
	char buf[KMSG_RECORD_MAX + 1];
};

/*
 * Opens /dev/kmsg; reading starts with the oldest record if `from_start`, else with what the
 * kernel writes from now on. 0 or -errno (-EPERM, -EACCES: no right to read the log).
 */
int kmsg__open(struct kmsg *k, bool from_start);
void kmsg__close(struct kmsg *k);

/* Reads until a kill is complete: 1 and k->parser.cur; 0 when there is nothing more now; -errno. */
int kmsg__next(struct kmsg *k);

#endif
