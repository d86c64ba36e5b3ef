/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mm_probe.h - memory figures of processes over time: passes over all processes, the highest RSS
 * between passes, and the births, execs and deaths in between.
 *
 * With BPF: bpf/task.bpf.c and bpf/mm.bpf.c. Without (not permitted, no BTF): /proc, no interval
 * peaks, no events; mm_probe__note() then says why. One thread at a time.
 */
#ifndef PROBE_MM_PROBE_H
#define PROBE_MM_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "memwatch/mm.h"
#include "probe/task_iter.h"

struct mm_probe_opts {
	bool peaks;	   /* interval peaks (to a scheduler tick) and events */
	bool exact_peaks;  /* every change of RSS seen: costs each page fault about 10 % */
	bool kthreads;	   /* rows of kernel threads too */
	bool no_bpf;	   /* /proc even where BPF works */
	uint32_t slots;	   /* processes whose interval peaks are kept; 0: by what runs now */
	const pid_t *pids; /* peaks and events of these only; NULL: of all */
	size_t npids;
};

struct mm_probe;

/* 0 or -ENOMEM: without BPF it falls back. */
int mm_probe__new(const struct mm_probe_opts *opts, struct mm_probe **ret);
void mm_probe__free(struct mm_probe *p);

/* "" with BPF and everything asked for; else one sentence on what is missing and why. */
const char *mm_probe__note(const struct mm_probe *p);

/* Watches one more process (peaks and events). 0 or -errno. */
int mm_probe__watch(struct mm_probe *p, pid_t pid);

/* One pass; the rows are borrowed until the next. 0 or -errno. */
int mm_probe__pass(struct mm_probe *p, const struct task_rows **ret);

/* Hands out the events since the last call, oldest first. Their number or -errno. */
int mm_probe__events(struct mm_probe *p, void (*fn)(void *arg, const struct mw_mm_ev *ev),
		     void *arg);

/* Adds up the counters: ret has MW_MM_C_COUNT entries. 0 or -errno (-ENOENT without BPF). */
int mm_probe__counters(const struct mm_probe *p, uint64_t *ret);

#endif
