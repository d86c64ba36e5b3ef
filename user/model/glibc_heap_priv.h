/* SPDX-License-Identifier: GPL-2.0-or-later */
/* glibc_heap_priv.h - between the search for arenas and the walk through chunks. */
#ifndef MODEL_GLIBC_HEAP_PRIV_H
#define MODEL_GLIBC_HEAP_PRIV_H

#include "model/glibc_heap.h"

#define GLIBC_PAGE 4096ULL
#define GLIBC_HEAP_MAX \
	(64ULL << 20) /* heaps of threads' arenas: aligned to this, at most as long */

enum { CHUNK_PREV_INUSE = 1, CHUNK_MMAPPED = 2, CHUNK_FLAGS = 7, CHUNK_MIN = 32 };

enum glibc_link { LINK_UNKNOWN, LINK_PLAIN, LINK_SAFE };

#define OFF_SYSTEM_MEM 2072 /* of an arena, from its bins: what it has taken from the system */

struct glibc_arena {
	uint64_t start, bins, system_mem;
	bool main;
};

struct glibc_segment {	/* a stretch of chunks without gaps */
	uint64_t base;	/* where the heap begins, its tables included */
	uint64_t first; /* its first chunk */
	uint64_t limit; /* where it ends; with a top: where it ends at most */
	uint32_t arena;
	bool has_top;
};

struct glibc_key { /* a value that may mark the chunks in thread caches */
	uint64_t value;
	struct ledger_bytes sum; /* of the chunks that carry it */
};

struct glibc_sums { /* of one segment */
	struct ledger_bytes used, fastbin, binned, top;
	double live_virt, live_rss, live_own_virt, live_own_rss;
	uint64_t chunks, end;
};

struct glibc_walker {
	const struct heap_memory *in;
	struct glibc_heap *out;
	struct glibc_arena *arena;
	size_t narenas, arenas_cap;
	bool saw_bins; /* something looks like the main arena, found or not */
	struct glibc_segment *seg;
	size_t nsegs, segs_cap;
	struct heap_extent *done; /* what was walked */
	size_t ndone, done_cap;
	struct glibc_key *key; /* open addressing by value; 0: free */
	size_t nkeys, key_slots;
	bool keys_full;
	struct ledger_bytes keyed; /* sum over all keys */
	enum glibc_link link;
	uint64_t lowest, highest; /* all segments lie in here */
	size_t lookups;		  /* left for looking at what a fast bin's link points to */
	/* memory of the program around `arena`'s: data of the module that holds malloc */
	uint64_t data_addr;
	uint64_t *data;
	size_t data_words;
	/* cursors into in->present and in->block, and the window on the memory */
	size_t at_present, at_block;
	uint8_t *window;
	uint64_t window_addr;
	size_t window_len, window_want;
};

/* Reads what is resident. -ENODATA: not all of it is. */
int glibc_walker__read(struct glibc_walker *w, uint64_t addr, void *buf, size_t len);
/* Index of the first extent that ends behind addr. */
size_t glibc_walker__extent(const struct glibc_walker *w, uint64_t addr);
/* Moves the cursors to addr; from there on they go up only. */
void glibc_walker__seek(struct glibc_walker *w, uint64_t addr);
/* Resident bytes of [start, end); start not below that of the call before. */
uint64_t glibc_walker__resident(struct glibc_walker *w, uint64_t start, uint64_t end);
/* Takes the live blocks of a used chunk into sums; true if there is one. */
bool glibc_walker__live(struct glibc_walker *w, uint64_t addr, uint64_t size, uint64_t rss,
			struct glibc_sums *sums);
/* The slot of a value, or the free one where it would go; there must be slots. */
struct glibc_key *glibc_walker__key(struct glibc_walker *w, uint64_t value);
/* Walks one segment. 0; -EBADMSG: it contradicts itself; -ENODATA: a header is not resident. */
int glibc_walker__segment(struct glibc_walker *w, const struct glibc_segment *s,
			  struct glibc_sums *ret);

#endif
