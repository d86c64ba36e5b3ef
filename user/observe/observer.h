/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * observer.h - what is seen of a set of processes: probes in, events to the model. Whoever owns the
 * loop (attach, run, top) calls observer__poll.
 *
 * Order of life: observer__new, observer__add for each process, observer__poll until done,
 * profiles of it at any time (snapshot/snapshot.h), observer__stop (probes out, last events read),
 * observer__free.
 */
#ifndef OBSERVE_OBSERVER_H
#define OBSERVE_OBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/hash_index.h"
#include "model/anon.h"
#include "model/heap.h"
#include "model/profile.h"
#include "probe/alloc_probe.h"
#include "probe/bpfobj.h"
#include "probe/calibrate.h"
#include "probe/feature.h"
#include "probe/unwind_maps.h"
#include "observe/module.h"

/* A mapping as it was when first seen; never changed or removed, so that frames stay valid. */
struct observer_map {
	uint32_t target;
	struct module *module; /* NULL: anonymous code (JIT), vDSO, gone */
	uint64_t start, end, offset;
};

struct observer_frame {
	uint32_t map;	  /* index of a observer_map */
	uint64_t address; /* in the process; of the call for return addresses (pc - 1) */
};

struct go_attached;

struct target {
	int pid;
	int pidfd;
	uint32_t index;
	char comm[16];
	char *cmdline;
	uint64_t start_ns; /* when it was added, CLOCK_MONOTONIC */
	int64_t start_unix_ms;
	bool ended, reported_none;
	bool child;	/* came in by --follow */
	uint32_t *maps; /* current mappings (indices of observer.maps) by address */
	size_t nmaps, maps_cap;
	uint32_t anon_map;	/* the observer_map for code in no mapping */
	struct module **probed; /* modules with probes in this process */
	size_t nprobed, probed_cap;
	size_t nprobes, nfiles;
	uint64_t rescans;
	struct go_attached *go; /* a Go program: its runtime's own heap profile; else NULL */
	uint32_t go_tries;	/* looks left: the program is still being started */
};

struct observer_opts {
	uint64_t sample_bytes;
	bool follow;
	bool no_mmap;	     /* no system call tracepoints */
	uint32_t ring_bytes; /* 0: default 16 MiB */
	size_t max_blocks;
	bool no_lines;	       /* symbols without source lines */
	uint32_t fault_period; /* sample every n-th page fault; 0: none (observe/faults.h) */
	bool faults_only;      /* no allocator probes */
	bool faults_all;       /* of all processes: each becomes a target when it is sampled */
};

struct observer {
	struct observer_opts opts;
	struct features features;
	struct bpfobj *obj;
	struct alloc_probe *probe;
	struct bpf_link **links; /* of tracepoints */
	size_t nlinks, links_cap;
	struct heap *heap;
	struct anon *anon;
	struct module_table modules;
	struct symbolizer *symbolizer;
	struct observer_map *maps;
	size_t nmaps, maps_cap;
	struct observer_frame *frames;
	size_t nframes, frames_cap;
	struct hash_index frame_index; /* by map and address */
	struct target *targets[MW_MAX_TARGETS];
	size_t ntargets, nlive;
	struct calibration calibration;
	struct faults *faults;	    /* NULL: page faults are not sampled */
	struct unwind_maps *unwind; /* NULL: frame-pointer stacks */
	uint64_t events, events_this_poll;
	uint64_t children_gone;	  /* had ended before they could be followed */
	uint64_t children_missed; /* could not be followed for another reason */
	bool histograms;	  /* profiles carry them, from now on */
	bool touched;		  /* and a fifth value, resident_space */
	bool frozen, stopped;
	void (*on_end)(struct observer *s, struct target *t); /* a target ended; may be NULL */
	void *on_end_arg;
};

/* Loads the programs. 0 or -errno; observer__error() then says what to tell the user. */
int observer__new(const struct observer_opts *opts, struct observer **ret);
void observer__free(struct observer *s);
/* One line on the last failure of observer__new or observer__add. */
const char *observer__error(void);

/* Takes a process in: finds its allocators, attaches. -ESRCH: gone; -EPERM; -EOPNOTSUPP: a kernel
 * thread; other -errno. */
int observer__add(struct observer *s, int pid, struct target **ret);

/* Looks through the mappings again (a library came, exec). */
int observer__rescan(struct observer *s, struct target *t);

/* Reads the events that are there, at most a bounded number. The number read or -errno. */
int observer__poll(struct observer *s);
/* From this moment on nothing more is counted; what is left in the ring is read. */
void observer__freeze(struct observer *s);
/* The same, and takes the probes out. */
void observer__stop(struct observer *s);

/* Takes only the allocator probes out, for good. */
void observer__detach_allocators(struct observer *s);
/* The mean bytes between samples from now on; not in exact mode. */
void observer__set_rate(struct observer *s, uint64_t sample_bytes);

/* Counters of a target (NULL: all), MW_C_COUNT of them. */
int observer__counters(struct observer *s, const struct target *t, uint64_t *ret);

/* What the probes cost the targets so far, ns of CPU time: counted hits times what a hit was
 * measured to cost at the start, plus the measured time in the programs. */
double observer__cost_ns(const struct observer *s, const uint64_t *counters);
/* The same with its share of the time watched: "0.3 % of one CPU (12.1 ms)". Returns buf. */
char *observer__cost(const struct observer *s, const uint64_t *counters, char *buf, size_t len);

#endif
