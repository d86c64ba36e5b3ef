/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faults.h - the page-fault profile: which stacks made the resident pages resident.
 *
 * Every n-th page fault is sampled with its stack and address and stands for n. Whether the page
 * is still there is looked up in pagemap, at intervals and when a profile is made: pages given back
 * by munmap, madvise, exec and exit go out of resident_space. A fault that brought a huge page
 * counts as one; a fault on a file counts the pages that came around it. No process gets more than
 * it has: where the estimates exceed the kernel's figures (huge pages are few and weigh much), they
 * are scaled down to them. Needs no probes, works for every language and allocator. One thread.
 *
 * Bounds: FAULTS_MAX_SAMPLES pages; beyond them samples are counted as lost.
 */
#ifndef OBSERVE_FAULTS_H
#define OBSERVE_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memwatch/wire.h"
#include "model/losses.h"

#define FAULTS_MAX_SAMPLES (1u << 21)
#define FAULTS_DEFAULT_PERIOD 1024 /* one sample stands for 4 MiB of small pages */

struct faults;
struct observer;
struct target;

/* Per site of the observer's heap: what the profile is made of. */
struct faults_site {
	double faults, faulted_bytes;	       /* ever */
	double resident_pages, resident_bytes; /* now, by the last faults__look */
};

/* After load: opens the counters, one per CPU. period: faults per sample. 0 or -errno. */
int faults__new(struct observer *o, uint32_t period, struct faults **ret);
void faults__free(struct faults *f);
/* Stops sampling; what is recorded stays. */
void faults__stop(struct faults *f);

/* An event. -EAGAIN: its process is no target yet: faults__foreign_event, outside of the reader. */
int faults__event(struct faults *f, const struct mw_ev_fault *ev);
void faults__foreign_event(struct faults *f, const struct mw_ev_fault *ev);
/* From now on the CPU time for making sampled processes targets, helpers' time included, is
 * `share` of one CPU, and burst_ns more; samples beyond that are counted, not looked into. */
void faults__limit_adoption(struct faults *f, double share, uint64_t burst_ns);
/* Makes a process that was sampled at that moment (CLOCK_MONOTONIC) a target. NULL: not possible,
 * or not now. */
const struct target *faults__adopt(struct faults *f, uint32_t pid, uint64_t time_ns);
/* A range is no longer mapped: its samples are no longer resident, whatever comes there next. */
void faults__unmapped(struct faults *f, uint32_t target, uint64_t addr, uint64_t size);
/* The address space is gone (exec, exit). */
void faults__clear_target(struct faults *f, uint32_t target);

/* The target is gone for good. */
void faults__drop_target(struct faults *f, uint32_t target);
/* The n sites of the heap have new numbers (heap__compact); UINT32_MAX: dropped. */
void faults__renumber(struct faults *f, const uint32_t *new_site, size_t n);

/* The process was killed: from now on its samples count as resident as they were at the last look
 * before its end, and those not looked at by then as small pages. */
void faults__at_death(struct faults *f, uint32_t target);

/* Looks which of the sampled pages are still there, and sums them up, scaled down to the kernel's
 * figures: of one target or (NULL) of all. */
void faults__look(struct faults *f, const struct target *of);
/* Looks without sums, about once a second: at targets with new samples or another RSS, which is
 * asked for more and more rarely while it stays as it is. */
void faults__look_at_times(struct faults *f);

/* Sums by site index (NULL beyond the end). */
const struct faults_site *faults__site(const struct faults *f, uint32_t site);
/* What the target has resident beyond what is attributed, bytes; after an exact look. */
uint64_t faults__rest(const struct faults *f, uint32_t target);

/* Samples that are in no profile, by cause. */
/* Its own memory, and the samples in it. */
void faults__memory(const struct faults *f, uint64_t *ret_bytes, uint64_t *ret_samples);
const struct losses *faults__losses(const struct faults *f);
uint32_t faults__period(const struct faults *f);

#endif
