/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heap.h - the live heap of the observed processes: blocks by address, counters by stack.
 *
 * Fed with events in their order; answers at any moment who holds what. Sampled blocks count with
 * the inverse of the probability with which they were sampled (Horvitz-Thompson), which is how Go
 * and tcmalloc unsample: weight = 1 / (1 - exp(-size / rate)). In exact mode every weight is 1.
 *
 * A block that its program sampled itself comes with its weight: the bytes of all allocations that
 * it stands for, taken as given.
 *
 * A stack is a "site": a list of frame ids (whose meaning the caller knows) in one process.
 * Pure: no I/O, no clock, no processes. One thread at a time. Bounded: beyond max_blocks a block
 * is counted as lost, beyond max_sites its bytes go to the site without a stack, which is counted.
 *
 * Histograms count every allocation by its size, and by its lifetime every block that was seen to
 * be freed: not those that ended with their process, nor those whose free was lost.
 */
#ifndef MODEL_HEAP_H
#define MODEL_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/hash_index.h"
#include "memwatch/wire.h"
#include "model/hist.h"
#include "model/ledger.h"
#include "model/livemap.h"
#include "model/moments.h"
#include "model/reuse.h"

struct heap_site {
	uint64_t stack;		  /* id on the wire; 0: no stack */
	uint32_t frame0, nframes; /* in heap.frames, leaf first */
	uint16_t target;
	uint8_t end;		    /* enum mw_stack_end */
	bool unknown;		    /* stands for stacks that never arrived */
	bool internal;		    /* set by the caller: inside an allocator (mappings only) */
	uint32_t first_ms, last_ms; /* of allocations */
	uint64_t alloc_samples, free_samples;
	double alloc_objects, alloc_bytes, free_objects, free_bytes;
	/* anonymous mappings made from here: bytes are exact */
	uint64_t map_count, map_bytes, unmap_bytes;
	struct hist_ages *ages; /* NULL: no memory for them; owned */
	struct hist hist;	/* sizes of what was allocated, lifetimes of what was freed */
};

struct heap_target {
	bool used;
	double alloc_objects, alloc_bytes, free_objects, free_bytes;
	uint64_t alloc_samples, free_samples;
	uint64_t unknown_frees; /* of blocks that are not in the map: from before the attach */
	uint64_t implied_frees; /* a block appeared where one was live: its free was lost */
	uint64_t lost_blocks, lost_bytes; /* table of blocks full */
	uint64_t map_bytes, unmap_bytes;  /* anonymous mappings outside of allocators */
	uint64_t unknown_unfrees;	  /* failed reallocs of blocks that are not in the map */
	uint64_t late_stacks;		  /* events whose stack had not arrived */
	uint64_t roomless_stacks;	  /* events whose stack was not kept: no room */
	uint64_t lost_hist;		  /* blocks missing in histograms: no memory */
	struct hist_total *hist;	  /* NULL while nothing was allocated; owned */
	uint64_t endings[MW_STACK_ENDS];  /* of stacks that were walked in a copy */
	struct moments *moments;	  /* NULL: not kept; owned */
	uint64_t follow_gap_ns; /* a followed child ran so long before its probes were in */
	bool windowed;		/* its events come from windows in time */
	struct reuse *reuse;	/* it was in windows at some time; owned. NULL: never */
	/* samples are 2^thin times as many bytes apart as those of others, thin_before until then
	 */
	unsigned thin, thin_before;
	uint64_t thin_since_ns;
};

#define HEAP_GIVEN 1023 /* livemap_block.rate of a block whose weight is in heap.given */

struct heap_rate {
	uint64_t sample_bytes;
	double scale; /* of windows in time: the time that one stands for by its length; else 1 */
};

struct heap_rates {		 /* numbers of them */
	size_t always, windowed; /* windowed: of targets that are seen in windows */
};

/* A block given up by a realloc that has not returned yet. */
struct heap_realloc {
	uint32_t tid;
	struct livemap_block block;
	uint64_t life_us; /* as counted when it was given up */
};

struct heap {
	struct livemap live;
	struct livemap given; /* of live blocks with a given weight: that weight as their size */
	struct heap_site *sites;
	size_t nsites, sites_cap, max_sites;
	bool refused;	 /* there was no room for a stack: what is unknown since then may be one */
	size_t ndropped; /* sites of targets that were dropped: until heap__compact */
	uint32_t *frames;
	size_t nframes, frames_cap;
	struct hash_index index;	    /* sites by target and stack */
	struct heap_target *targets;	    /* MW_MAX_TARGETS */
	struct heap_rate rates[HEAP_GIVEN]; /* livemap_block.rate has ten bits */
	size_t nrates;
	struct heap_rates now, before; /* of samples taken since rate_since_ns, and before */
	uint64_t rate_since_ns;	       /* CLOCK_MONOTONIC */
	double scale;		       /* of targets that are seen in windows */
	struct heap_realloc *reallocs;
	size_t nreallocs, reallocs_cap;
	uint64_t start_ns;
	bool keeps_moments;
};

struct heap_opts {
	uint64_t sample_bytes; /* <= 1: exact */
	size_t max_blocks;     /* 0: 64 M */
	size_t max_sites;      /* 0: 1 M */
	uint64_t start_ns;     /* the clock of the events: CLOCK_MONOTONIC */
};

int heap__new(const struct heap_opts *opts, struct heap **ret);
void heap__free(struct heap *h);

/* The rate of samples taken since then (CLOCK_MONOTONIC); of one change back, what was taken before
 * and is told later still counts at the rate it was taken at. */
void heap__set_rate(struct heap *h, uint64_t sample_bytes, uint64_t since_ns);
/* The same of one target: 2^octaves times as many bytes as of the others from then on. */
void heap__thin(struct heap *h, uint32_t target, unsigned octaves, uint64_t since_ns);
/* A sample of a target that is seen in windows stands for so many times more from now on. */
void heap__set_scale(struct heap *h, double scale);
/* From now on a target is seen in windows, or always again. 0 or -ENOMEM. */
int heap__set_windowed(struct heap *h, uint32_t target, bool windowed);
/* A block of a target that is, or was, seen in windows has been found not to be there any more: it
 * was freed at a time that nobody knows. False: it is not in the profile. */
bool heap__bury(struct heap *h, uint32_t target, uint64_t addr);
/* How many blocks one sampled block of this size stands for. */
double heap__weight(uint64_t size, uint64_t sample_bytes);

/* How many blocks this live one stands for. */
double heap__block_weight(const struct heap *h, const struct livemap_block *b);

/* A stack arrived. frames are the caller's ids, leaf first. *ret: index of its site. Known stacks
 * are recognised (0 too, *ret set). -ENOMEM, -ENOSPC (too many sites). */
int heap__stack(struct heap *h, uint32_t target, uint64_t stack, uint8_t end,
		const uint32_t *frames, size_t n, uint32_t *ret);
/* There was no room for the frames of a stack: as heap__stack when it fails. */
void heap__refuse_stack(struct heap *h);

/* Events. Those that cannot be kept are counted in the target. */
void heap__alloc(struct heap *h, const struct mw_ev_alloc *ev);
void heap__weighed(struct heap *h, const struct mw_ev_weighed *ev);
void heap__dealloc(struct heap *h, const struct mw_ev_free *ev);
void heap__undealloc(struct heap *h, const struct mw_ev_free *ev);

/* From now on, remember what was in use in the last seconds: for heap__at. */
void heap__keep_moments(struct heap *h);
/* What a target had in use, and had ever allocated, at that moment (CLOCK_MONOTONIC). False: that
 * is not known. */
bool heap__at(const struct heap *h, uint32_t target, uint64_t time_ns, double *ret_inuse_bytes,
	      double *ret_alloc_bytes);

/* The child has a copy of everything the parent holds. */
int heap__fork(struct heap *h, uint32_t parent, uint32_t child);
/* The address space is gone (exec, exit): all live blocks count as freed. */
void heap__clear_target(struct heap *h, uint32_t target);

/* The target is gone for good, and with it its blocks, sites and sums; another may have its index.
 */
void heap__drop_target(struct heap *h, uint32_t target);
/*
 * Gives back the sites that were dropped; those that stay are numbered anew. ret_new: by old number
 * (h->nsites of them before the call) the new one, UINT32_MAX: dropped.
 */
void heap__compact(struct heap *h, uint32_t *ret_new);

/* Blocks that are live, weighted; convenience of site numbers. */
double heap_site__inuse_objects(const struct heap_site *s);
double heap_site__inuse_bytes(const struct heap_site *s);
/* A moment on the clock of heap_site.ages. */
uint32_t heap__time_ms(const struct heap *h, uint64_t time_ns);
const uint32_t *heap__site_frames(const struct heap *h, const struct heap_site *s);
/* Site of a stack, NULL if it has not arrived. */
struct heap_site *heap__find_site(struct heap *h, uint32_t target, uint64_t stack);
/* The site of a stack, or the one for stacks that never arrived. */
uint32_t heap__site_for(struct heap *h, uint32_t target, uint64_t stack);

/* memwatch's own memory in this heap, bytes. */
size_t heap__memory(const struct heap *h);

/* A target's live blocks by ascending address, to be freed by the caller. 0 or -ENOMEM. */
int heap__blocks(const struct heap *h, uint32_t target, struct ledger_block **ret, size_t *ret_n);

#endif
