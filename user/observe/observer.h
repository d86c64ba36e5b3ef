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
#include "sys/pidref.h"
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
	OBSERVER_ANEW, /* target; its stubs were taken out for probes: the heap begins anew */
	OBSERVER_SAMPLES_ITSELF, /* target: does from now on, or no more; was probed otherwise
				    before */
	OBSERVER_UNPROBED,    /* target: its main thread ended, no further probes can be placed */
	OBSERVER_MOVED,	      /* target, pid: the thread that its probes go by now */
	OBSERVER_STOPPED,     /* target: its probes ended with its main thread */
	OBSERVER_UNSUPPORTED, /* target has a new image; observer__error() says what is not done */
	OBSERVER_EXEC,	      /* target has a new image */
	OBSERVER_CAME,	      /* target: a process that is wanted */
	OBSERVER_LEFT,	      /* target is not wanted any more, and let go after this */
	OBSERVER_UNREACHED,   /* pid is wanted, err; observer__error() says more */
	OBSERVER_FILES_GONE,  /* files that nobody has mapped any more were closed */
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
	bool first_rows;       /* targets remember their memory as they were added */
	/* So long is it waited, at most, for those who read the files of a process that comes; what
	 * takes longer is used once it is there. 0: as long as it takes. */
	uint64_t patience_ns;
	struct plan_tuning tuning;
	void (*tell)(void *arg, const struct observer_event *e); /* NULL: nobody listens */
	/* Asked of every process that comes, by fork or by exec: shall it be a target? Of one that
	 * came so again at its execs. NULL: only those become targets that are added. */
	bool (*wants)(void *arg, int pid);
	void *arg; /* of both */
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
/* A thread of memwatch traces processes, from now on and as long as the observer is there
 * (fast/remote.h). */
struct remote_host;
void observer__set_host(struct observer *o, const struct remote_host *host);
/* Takes a process in that is wanted, if it is no target yet; what comes of it is told. */
void observer__choose(struct observer *o, int pid);
/* Lets those that are chosen and live go that are not wanted any more. */
void observer__choose_again(struct observer *o);
/* Lets go of targets that ended before that moment (CLOCK_MONOTONIC, ns). */
void observer__drop_ended(struct observer *o, uint64_t before_ns);
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

/* That process and no other, given away. 0; -ESRCH: it has ended. */
int observer__process(const struct target *t, struct pidref *ret);
/* RSS and VIRT now. -ESRCH and zeros for one that has ended, whoever has its number by now. */
int observer__memory(const struct target *t, struct statm *ret);
/*
 * Is the image that was looked at still there? 0; -ESRCH: the process has ended, or is about to;
 * -ESTALE: it has called exec, and the event of that is yet to be read: then all is looked at
 * again. Whatever went wrong with such a one is nothing to be told of.
 */
int observer__gone(const struct target *t);

/* Looks through the mappings again (a library came). */
int observer__rescan(struct observer *o, const struct target *t);
/* Children are held from their first instruction until they are targets: nothing of them is unseen.
 */
void observer__set_children_held(struct observer *o, bool held);
/* Waits until the stacks of everything mapped so far can be unwound. */
void observer__wait_tables(struct observer *o);

/* --- events --- */

/* Readable when there are many events, or when a target has ended. */
int observer__fd(const struct observer *o);
/* Reads the events that are there, at most a bounded number, and does what they ask for. The number
 * read or -errno. */
int observer__poll(struct observer *o);
/* The same until all that is there by now has been read, or for seconds: a busy program never lets
 * the ring run dry. What is asked afterwards is of about now. */
void observer__catch_up(struct observer *o);
/* From this moment on nothing more is counted; what is left in the ring is read. */
void observer__freeze(struct observer *o);
bool observer__frozen(const struct observer *o);
/* The same, and takes the probes out. */
void observer__stop(struct observer *o);

/*
 * Windows in time: the allocator probes (not the stubs of --fast, nor the probes of programs that
 * sample for themselves) are out but for a short time now and then.
 *
 * _out takes them out, soon; _in puts them in again, and nothing that is allocated is sampled until
 * _window says how long: until that moment, and a sample stands for `scale` times itself. until 0:
 * from now on always, as at the start. Frees of what is in the profile are seen while probes are
 * in. 0 or -errno.
 */
void observer__probes_out(struct observer *o);
int observer__probes_in(struct observer *o);
int observer__window(struct observer *o, double scale, uint64_t until_ns);
bool observer__window_is_open(const struct observer *o);
/* The part of the time in which what a target (NULL: the run) allocates was sampled; 1: always. */
double observer__window_share(const struct observer *o, const struct target *t);
/* From the last window to the end of a target that ended between two: what it allocated then stands
 * nowhere. 0: there is no such time. */
uint64_t observer__unseen_end_ns(const struct target *t);
/* What a walk of a target's heap says of a block that is in the profile: it is gone. */
void observer__bury(struct observer *o, const struct target *t, uint64_t addr);

/* The mean bytes between samples from now on; not in exact mode. */
void observer__set_rate(struct observer *o, uint64_t sample_bytes);
/* This target is sampled less: 2^octaves times as many bytes lie between its samples, whatever the
 * rate of all is; at most 2^MW_MAX_THIN; 0: as many. Not in exact mode, nor of a program that
 * samples itself. */
void observer__thin(struct observer *o, const struct target *t, unsigned octaves);

/* --- what was seen --- */

uint64_t observer__sample_bytes(const struct observer *o);
/* The same of a target, that may be sampled less; NULL: of all. */
uint64_t observer__sample_bytes_of(const struct observer *o, const struct target *t);
const struct observer_opts *observer__opts(const struct observer *o);
/* The method of the allocator probes, in words. */
const char *observer__method(const struct observer *o);
const struct heap *observer__heap(const struct observer *o);
/* From now on heap__at knows the last seconds. */
void observer__keep_moments(struct observer *o);
const struct anon *observer__anon(const struct observer *o);
/* NULL: page faults are not sampled. */
struct faults *observer__faults(const struct observer *o);

/* A mapping as it was when first seen; never changed, and kept while a frame is in it. */
struct observer_map {
	uint32_t target;
	uint32_t image;	       /* which of the process's, counted from 1: exec makes the next */
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
/* Descriptors of the files that are known, borrowed; at most n are written. Returns how many there
 * are. */
size_t observer__files(const struct observer *o, int *fds, size_t n);

/* Counters of a target (NULL: all), MW_C_COUNT of them. */
int observer__counters(const struct observer *o, const struct target *t, uint64_t *ret);
/* Children that were not followed: ended before they could be, and for another reason. */
uint64_t observer__children_gone(const struct observer *o);
uint64_t observer__children_missed(const struct observer *o);
/* Processes in a target's memory that were not seen, or not at first. */
uint64_t observer__sharers_unseen(const struct observer *o);
/* Times that a thread ended by whose memory probes went. */
uint64_t observer__probes_ended(const struct observer *o);
/* What targets that were let go had lost, beside what the programs counted. */
const struct losses *observer__losses_of_gone(const struct observer *o);

/* What the probes cost the targets so far, ns of CPU time (cost.h). False: not known, *ret is
 * without the hits. */
bool observer__cost_ns(const struct observer *o, const uint64_t *counters, double *ret);
/* The same of the time between two readings of the counters, *last and now; *last becomes now. What
 * is known of the price of a hit changes while it runs, so the difference of two costs is none. */
double observer__cost_since(const struct observer *o, uint64_t *last, const uint64_t *now);
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
