/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc_heap.h - the heap of glibc's malloc, chunk by chunk, from outside: what is in use, what is
 * free and kept, what the caches of threads hold.
 *
 * The main arena is found in the data of libc (or of a static program) by its bins, the other
 * arenas by the ring they form; neither symbols nor a table of versions is needed. Layouts of
 * glibc 2.26 and later on 64-bit machines. The process runs while it is read: a contradiction
 * between two chunks is read again a few times, then the heap it is in counts as not walked.
 *
 * All that is read belongs to somebody else: every size and pointer is checked before it is used,
 * every chain is bounded, whatever the memory holds. Pages that are not resident are never read.
 * Pure: memory comes through callbacks.
 */
#ifndef MODEL_GLIBC_HEAP_H
#define MODEL_GLIBC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/heap_memory.h"
#include "model/ledger_share.h"

#define GLIBC_HEAP_NOTE 200

struct glibc_heap {
	struct ledger_bytes *cover; /* per mapping of the input: what was walked of it */
	size_t ncover;
	struct ledger_bytes used;	     /* chunks in use, headers included; mmapped ones too */
	struct ledger_bytes tcache, fastbin; /* freed, kept by threads and in fast bins */
	struct ledger_bytes binned, top;     /* free chunks; the unused ends of arenas */
	struct ledger_bytes own;	     /* the allocator's tables, fence posts, alignment */
	struct ledger_bytes mmapped;	     /* the part of used with a mapping of its own */
	/* live blocks of the profile in used chunks, weighted: their bytes; header and rounding */
	double live_virt, live_rss, live_own_virt, live_own_rss;
	struct ledger_block *stray; /* live blocks in no walked heap */
	size_t nstray;
	uint64_t chunks, nmmapped, retries;
	unsigned arenas, heaps;
	unsigned failed;     /* heaps that could not be walked */
	unsigned lasting;    /* of them, those that will not be walked at another time either */
	bool cached_known;   /* the keys of the thread caches were found, or none is needed */
	bool fastbins_known; /* chunks in fast bins can be told from used ones */
	bool mmapped_exact;  /* as many mmapped chunks as glibc counts */
	bool seen;	     /* something looks like its main arena, even if it was not found */
	char note[GLIBC_HEAP_NOTE]; /* what was not possible, one sentence; "": nothing */
};

/*
 * Walks. 0: something was walked (see failed and note); -ENOENT: no glibc heap is here;
 * -EBADMSG: none of it could be walked; -ENOMEM. *ret is valid in any case (note says why) and is
 * freed by glibc_heap__free.
 */
int glibc_heap__walk(const struct heap_memory *in, struct glibc_heap *ret);
void glibc_heap__free(struct glibc_heap *h);

/* What of it goes into a ledger; `cover` and `stray` stay h's. */
void glibc_heap__share(const struct glibc_heap *h, struct ledger_share *ret);
/* As a contributor (contributors.h). */
enum ledger_kind glibc_heap__classify(const struct ledger_input *in, size_t i);
int glibc_heap__find(const struct heap_memory *m, struct ledger_share *ret);

#endif
