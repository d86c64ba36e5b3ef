/* SPDX-License-Identifier: GPL-2.0-or-later */
/* observer_priv.h - the observer from inside; for this room alone. */
#ifndef OBSERVE_OBSERVER_PRIV_H
#define OBSERVE_OBSERVER_PRIV_H

#include "core/allowance.h"
#include "core/hash_index.h"
#include "model/anon.h"
#include "model/heap.h"
#include "model/losses.h"
#include "observe/faults.h"
#include "observe/module.h"
#include "observe/observer.h"
#include "probe/alloc_probe.h"
#include "probe/bpfobj.h"
#include "probe/calibrate.h"
#include "probe/fault_probe.h"
#include "probe/proc_probe.h"
#include "probe/unwind_maps.h"
#include "sys/procmem.h"

#define KNOWN_COPIES 256 /* the event that has the copy's id follows at once on its CPU */
#define OLD_MAPS 64	 /* mappings that went lately, of each target */

/* A target and what only this room knows of it. */
struct observed {
	struct target pub; /* first: see observed_of */
	uint64_t ended_ns;
	uint64_t unseen_before_ns; /* observer__unseen_ns when it was added */
	uint64_t unseen_end_ns;	   /* see observer__unseen_end_ns */
	int pidfd;		   /* -1: ended, or not to be had */
	uint32_t *maps;		   /* current mappings (indices of observer.maps) by address */
	size_t maps_cap;
	uint32_t old_maps[OLD_MAPS]; /* the last ones that went, newest at old_at - 1 */
	size_t nold, old_at;
	uint32_t anon_map;	/* the observer_map for code in no mapping */
	struct module **probed; /* modules with probes in this process */
	size_t nprobed, probed_cap;
	uint64_t rescans;
	uint64_t looked_ns;	/* when the last look at its mappings began */
	struct allowance looks; /* see mappings__look */
	bool look_is_due;	/* it was put off */
	bool told_unprobed;
	pid_t thread;		  /* whose memory the probes go by; 0: they go by the process */
	bool told_thread;	  /* that one has ended */
	bool unsupported;	  /* its image is nothing to look into: a 32-bit program */
	struct module_root *root; /* of its image; NULL: our own, or it has ended */
	uint64_t image;		  /* tells an image from the next: where its stack began, */
	struct procmem *memory;	  /* and its memory; NULL: not to be had, or not wanted */
	bool inherits;		  /* the image of its parent: blocks of which no stubs know */
	bool sharing; /* the memory too, which has stubs: what is done to it is done to both */
	struct stubbed *fast;	    /* modules with stubs */
	const struct module *layer; /* an allocator over another one: stubs do not tell calls of the
				     * one by the other */
	bool told_layer;	    /* that it is not sampled inside for that */
	size_t nfast, fast_cap;
	unsigned thin; /* see observer__thin */
};

static inline struct observed *observed_of(const struct target *t)
{
	return (struct observed *)t;
}

/* A process that runs in the memory of a target and is no thread of it. */
struct sharer {
	pid_t pid;
	uint32_t target;
	uint64_t since_ns; /* CLOCK_MONOTONIC; 0: from before the target was one */
	bool probed;
};

/* An event that asks for more than a change of the model, as it was on the wire. */
struct job {
	enum job_kind {
		JOB_FOLLOW, /* a fork */
		JOB_SHARER, /* one that ran in a target's memory does so no more */
		JOB_CAME,   /* a process that is no target forked or called exec */
		JOB_EXEC,
		JOB_END,
		JOB_THREAD_END, /* of the thread that the probes go by */
		JOB_RESCAN,	/* code was mapped */
		JOB_COPY,	/* a stack that the kernel could not walk to its end */
		JOB_STACK, /* code in no mapping known so far, or of a process that is no target */
		JOB_FAULT, /* of a process that is no target */
	} kind;
	size_t size;
	union {
		struct mw_ev_hdr hdr;
		struct mw_ev_proc proc;
		struct mw_ev_fault fault;
		struct mw_ev_stack stack;
		struct mw_ev_copy copy;
		char bytes[sizeof(struct mw_ev_copy) + MW_MAX_FRAMES * sizeof(uint64_t) +
			   MW_COPY_CHUNKS * MW_COPY_CHUNK];
	} ev;
};

struct observer {
	bool children_held;		/* see observer__set_children_held */
	const struct remote_host *host; /* see observer__set_host */
	struct observer_opts opts;
	struct bpfobj *obj;
	struct alloc_probe *probe;  /* NULL: none, or taken out */
	struct proc_probe *proc;    /* NULL: taken out */
	struct unwind_maps *unwind; /* NULL: frame-pointer stacks */
	struct faults *faults;	    /* NULL: page faults are not sampled */
	int epoll_fd;
	struct heap *heap;
	struct anon *anon;
	struct module_table modules;
	struct observer_map *maps;
	size_t nmaps, maps_cap;
	struct observer_frame *frames;
	size_t nframes, frames_cap;
	struct hash_index frame_index; /* by map and address */
	struct observed *targets[MW_MAX_TARGETS];
	size_t ntargets; /* indices that were ever given out */
	/* Indices to be given out again, the first the longest free; and the number of times that
	 * the ring had been read to its end by then: what the process before did is in there. */
	struct {
		uint32_t index;
		uint64_t drained;
	} freed[MW_MAX_TARGETS];
	size_t nfreed;
	uint64_t drained;
	unsigned ends_put_off; /* polls since ends were seen whose events are not all read */
	uint64_t gone_counters[MW_C_COUNT]; /* of targets that were let go */
	struct losses gone;
	size_t maps_after; /* maps that were left by the last observer__compact */
	size_t count, nlive;
	struct calibrator *calibrator;
	struct calibration calibration;
	struct allowance looks; /* of all targets */
	bool look_is_due;	/* for one of them */
	uint64_t read_on_ns;	/* see mappings__read_on */
	struct job job; /* at most one: reading stops for it, so that events keep their order */
	bool has_job;
	struct {
		uint64_t copy, stack;
	} copies[KNOWN_COPIES]; /* ids of the last copies, and those of their stacks */
	size_t copies_at;
	uint64_t events, events_this_poll;
	uint64_t children_gone, children_missed, probes_ended, sharers_unseen;
	struct sharer *sharers;
	size_t nsharers, sharers_cap;
	bool frozen, stopped;
	struct {
		bool used, out;	    /* out: probes of allocators are not put in now */
		double scale;	    /* 1: all the time */
		uint64_t until_ns;  /* sampled until then; 0: all the time */
		uint64_t unseen_ns; /* between windows, until until_ns */
	} windows;
};

/* observer.c */
void observer__set_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void observer__tell(const struct observer *o, const struct observer_event *e);
/* The target of an event, NULL if there is none (any more). */
struct observed *observer__of(const struct observer *o, uint32_t index);
/* The kernel's table of live samples need not remember a process that is gone. */
void observer__forget_live(struct observer *o, uint32_t target);

/* jobs.c */
/* Leaves the event for observer__work. What the reader of the ring is to return. */
int observer__queue(struct observer *o, enum job_kind kind, const void *data, size_t size);
void observer__work(struct observer *o);

/* targets.c */
enum target_origin {
	TARGET_NAMED,
	TARGET_FORKED,	/* by a target */
	TARGET_STUBBED, /* by one with stubs */
	TARGET_SHARING, /* so too, and runs in its memory until its exec (vfork) */
};
/* As observer__add. */
int targets__add(struct observer *o, int pid, enum target_origin from, const struct target **ret);
bool targets__wanted(const struct observer *o, int pid);
void observed__free(struct observer *o, struct observed *t);
/* Also if nobody has been told: its number may be another's. */
bool observed__has_ended(const struct observed *t);
/* The process has a new image. by_thread: another thread than the leader called exec. */
void observed__exec(struct observer *o, struct observed *t, bool by_thread);
/* The process is gone: its blocks stay in the profile as they were at its end. */
void observed__ended(struct observer *o, struct observed *t);

/* The thread that the probes go by is gone, others live: moves the probes, or says that they end.
 */
void observed__thread_ended(struct observer *o, struct observed *t);
/* By what its probes are placed: a process or a thread of it. */
static inline pid_t observed__probed(const struct observed *t)
{
	return t->thread ? t->thread : t->pub.pid;
}

/* sharers.c */
/* One that a target has made so at that moment; those that there are when a target is new. */
void sharers__forked(struct observer *o, const struct observed *t, pid_t pid, uint64_t ns);
void sharers__find(struct observer *o, struct observed *t);
/* Probes for those that were there for a moment. Now and then. */
void sharers__look(struct observer *o);
/* A module of the target has probes from now on, in its sharers too. 0 or -errno. */
int sharers__attach_module(struct observer *o, const struct observed *t, const struct module *m);
void sharers__gone(struct observer *o, pid_t pid);
/* The target has ended, or another image. */
void sharers__drop_target(struct observer *o, uint32_t target);

/* windows.c */
/* The time in which nothing was sampled so far. */
uint64_t observer__unseen_ns(const struct observer *o);
/* Is it one whose probes windows take out and put in? */
static inline bool observed__in_windows(const struct observer *o, const struct observed *t)
{
	return o->windows.scale > 1 && !t->nfast && !t->pub.samples_itself;
}

/* Lets go of those that ended longest ago. */
void observer__limit_ended(struct observer *o);

/* mappings.c */
/* The map for code in no mapping of the target, and those of its current mappings. */
int mappings__add(struct observer *o, const struct observer_map *m, uint32_t *ret);
int mappings__scan(struct observer *o, struct observed *t);
/*
 * The same because of something that the process did at event_ns, which it may do as often as it
 * likes: nothing where a look began since, and put off (mappings__look_again) where looks at it, or
 * at all, have taken more of the time than they may.
 */
void mappings__look(struct observer *o, struct observed *t, uint64_t event_ns);
void mappings__look_again(struct observer *o);
/* The same where files were still being read at the last look, once they are. */
void mappings__read_on(struct observer *o);
/* Probes on the allocators of a module, in a process that has it, for the target. 0 or -errno. */
int mappings__probe(struct observer *o, const struct observed *t, pid_t pid, const struct module *m,
		    size_t *ret_n);
/* The probes of allocators in the modules that have them, anew. */
int mappings__probe_again(struct observer *o, struct observed *t);
/* The current map at addr, else one of an earlier look; -1: none. */
long mappings__find(const struct observer *o, const struct observed *t, uint64_t addr);
long mappings__find_old(const struct observer *o, const struct observed *t, uint64_t addr);

/* compact.c */
/* Gives back what no target has any more: sites, frames, mappings, files. For when no event waits.
 */
void observer__compact(struct observer *o);
/* Is there enough to give back? */
bool observer__has_waste(const struct observer *o);

/* frames.c */
/* MW_EV_STACK: gives the stack's frames their ids and its site. looked: the mappings were read
 * after the event. -EAGAIN: not before that. */
/* The frames have other numbers or mappings: finds them by those. */
void frames__index(struct observer *o);
int frames__on_stack(struct observer *o, const struct mw_ev_stack *ev, size_t size, bool looked);
/* MW_EV_COPY: the same when its walk has been finished. */
int frames__on_copy(struct observer *o, const struct mw_ev_copy *ev, size_t size, bool looked);
/* The stack that a copy turned out to be; the copy's own id if that is not known. */
uint64_t frames__of_copy(const struct observer *o, uint64_t copy);

#endif
