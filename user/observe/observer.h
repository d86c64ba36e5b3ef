/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * observer.h - what is seen of a set of processes: probes in, events to the model. Processes come
 * and go; profiles are made from it at any moment (snapshot/snapshot.h). Knows no profiles, symbols
 * or runtimes, and says nothing to the user: what is worth a message goes to observer_opts.tell.
 *
 * Order of life: observer__new; observer__add and observer__remove_target at any time;
 * observer__poll whenever observer__fd is readable and now and then; observer__stop (probes out,
 * last events read); observer__free. One thread.
 *
 * Reading an event changes the model and nothing else. What needs more (a look at the process,
 * probes in a new library) is queued and done before observer__poll reads on.
 */
#ifndef OBSERVE_OBSERVER_H
#define OBSERVE_OBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memwatch/wire.h"
#include "observe/target.h"
#include "probe/plan.h"
#include "sys/statm.h"

struct anon;
struct faults;
struct heap;
struct losses;
struct module;
struct observer;

enum observer_news {
	OBSERVER_FP_STACKS,    /* err: why stacks follow frame pointers only */
	OBSERVER_CHILD,	       /* target, parent, ns: since its fork */
	OBSERVER_CHILD_MISSED, /* pid, parent, err; observer__error() says more */
	OBSERVER_NOT_FAST,     /* target; observer__error() says which allocator, and why */
	OBSERVER_EXEC,	       /* target has a new image */
};

struct observer_event {
	enum observer_news what;
	const struct target *target;
	int pid, parent, err;
	uint64_t ns;
};

struct observer_opts {
	uint64_t sample_bytes; /* mean bytes between samples; <= 1: every allocation */
	bool fast;	       /* stubs inside targets, where that can be done */
	bool follow;	       /* children of targets become targets */
	uint32_t max_depth;    /* frames of a stack; 0: all that can be kept */
	bool no_mmap;	       /* no system call tracepoints */
	uint32_t fault_period; /* sample every n-th page fault; 0: none (observe/faults.h) */
	bool faults_only;      /* no allocator probes */
	bool faults_all;       /* of all processes: each becomes a target when it is sampled */
	struct plan_tuning tuning;
	void (*tell)(void *arg, const struct observer_event *e); /* NULL: nobody listens */
	void *tell_arg;
};

/* Loads the programs. 0 or -errno; observer__error() then says what to tell the user. */
int observer__new(const struct observer_opts *opts, struct observer **ret);
void observer__free(struct observer *o);
/* One line on the last failure of observer__new or observer__add. */
const char *observer__error(void);
/* Why nothing can be observed from here (privileges, a namespace), or NULL. */
const char *observer__refusal(void);

/* --- targets --- */

/* Takes a process in: finds its allocators, attaches. -ESRCH: gone; -EPERM; -EOPNOTSUPP: a kernel
 * thread; other -errno. */
int observer__add(struct observer *o, int pid, const struct target **ret);
/*
 * Lets a process go, running or ended: probes out; its blocks, stacks, mappings and pages are given
 * back, its index may be another process's later (but not before all that it did was read). *t is
 * no more. Frames and mappings have other numbers after a later observer__poll.
 */
void observer__remove_target(struct observer *o, const struct target *t);
/* The targets in the order in which they came: from NULL to NULL. */
const struct target *observer__next(const struct observer *o, const struct target *t);
const struct target *observer__at(const struct observer *o, uint32_t index); /* NULL: none */
/* The newest with this PID: a PID comes back. NULL: none. */
const struct target *observer__find(const struct observer *o, int pid);
size_t observer__count(const struct observer *o);
size_t observer__living(const struct observer *o);

/* RSS and VIRT now. -ESRCH and zeros for one that has ended, whoever has its number by now. */
int observer__memory(const struct target *t, struct statm *ret);

/* Looks through the mappings again (a library came). */
int observer__rescan(struct observer *o, const struct target *t);
/* Children are held from their first instruction until they are targets: nothing of them is unseen. */
void observer__set_children_held(struct observer *o, bool held);
/* Waits until the stacks of everything mapped so far can be unwound. */
void observer__wait_tables(struct observer *o);

/* --- events --- */

/* Readable when there are many events, or when a target has ended. */
int observer__fd(const struct observer *o);
/* Reads the events that are there, at most a bounded number, and does what they ask for. The number
 * read or -errno. */
int observer__poll(struct observer *o);
/* From this moment on nothing more is counted; what is left in the ring is read. */
void observer__freeze(struct observer *o);
bool observer__frozen(const struct observer *o);
/* The same, and takes the probes out. */
void observer__stop(struct observer *o);

/* Takes only the allocator probes out, for good. */
void observer__detach_allocators(struct observer *o);
/* The mean bytes between samples from now on; not in exact mode. */
void observer__set_rate(struct observer *o, uint64_t sample_bytes);

/* --- what was seen --- */

uint64_t observer__sample_bytes(const struct observer *o);
const struct observer_opts *observer__opts(const struct observer *o);
/* The method of the allocator probes, in words. */
const char *observer__method(const struct observer *o);
const struct heap *observer__heap(const struct observer *o);
const struct anon *observer__anon(const struct observer *o);
/* NULL: page faults are not sampled. */
struct faults *observer__faults(const struct observer *o);

/* A mapping as it was when first seen; never changed, and kept while a frame is in it. */
struct observer_map {
	uint32_t target;
	struct module *module; /* NULL: anonymous code (JIT), vDSO, gone */
	uint64_t start, end, offset;
};

struct observer_frame {
	uint32_t map;	  /* index of an observer_map */
	uint64_t address; /* in the process; of the call for return addresses (pc - 1) */
};

/* Frames by the ids that the heap's sites have; mappings by the index in a frame. */
const struct observer_frame *observer__frame(const struct observer *o, uint32_t id);
size_t observer__nframes(const struct observer *o);
const struct observer_map *observer__map(const struct observer *o, uint32_t index);
size_t observer__nmaps(const struct observer *o);

/* Counters of a target (NULL: all), MW_C_COUNT of them. */
int observer__counters(const struct observer *o, const struct target *t, uint64_t *ret);
/* Children that were not followed: ended before they could be, and for another reason. */
uint64_t observer__children_gone(const struct observer *o);
uint64_t observer__children_missed(const struct observer *o);
/* What targets that were let go had lost, beside what the programs counted. */
const struct losses *observer__losses_of_gone(const struct observer *o);

/* What the probes cost the targets so far, ns of CPU time: counted hits times what a hit was
 * measured to cost at the start, plus the measured time in the programs. False: not known, *ret is
 * without the hits. */
bool observer__cost_ns(const struct observer *o, const uint64_t *counters, double *ret);
/* The time for which the target that has been in for longest is watched, ns. */
double observer__watched_ns(const struct observer *o);

/* --- its own memory --- */

struct footprint_row {
	char name[40];
	uint64_t bytes;	  /* here, or in the kernel */
	uint64_t entries; /* in use */
	bool in_kernel;
};
#define FOOTPRINT_ROWS 48

/* What each table takes. Walks the kernel's tables. Returns the number of rows. */
size_t observer__footprint(const struct observer *o, struct footprint_row ret[FOOTPRINT_ROWS]);

#endif
