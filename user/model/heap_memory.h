/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heap_memory.h - the memory of a process for those who look for heaps in it: its mappings, which
 * pages are resident, and a way to read them. The process runs meanwhile, and all that is read
 * belongs to somebody else: nothing is trusted. Pages that are not resident are never read.
 */
#ifndef MODEL_HEAP_MEMORY_H
#define MODEL_HEAP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ledger_input.h"

struct heap_extent { /* [start, end) */
	uint64_t start, end;
};

struct heap_go { /* what a Go runtime counts of itself; bytes, named as in MemStats */
	uint64_t inuse, free, released, stacks, metadata, off_heap;
	uint64_t lazy_free; /* of released, still resident */
	bool cgo;	    /* anonymous memory may be others' */
};

struct heap_memory {
	const struct ledger_input *maps;
	const struct heap_extent *present; /* resident pages of writable mappings, ascending */
	size_t npresent;
	const struct ledger_block *block; /* live blocks of the profile, ascending; may be NULL */
	size_t nblocks;
	const struct heap_go *go; /* NULL: no Go program */
	unsigned version;	  /* of glibc: 236 for 2.36; 0: not known */
	/* Reads exactly len bytes: 0 or a negative errno. A call may cost as much as a few thousand
	 * bytes more. */
	int (*read)(void *arg, uint64_t addr, void *buf, size_t len);
	void *window; /* HEAP_MEMORY_WINDOW bytes that reading into is cheapest; NULL: none */
	struct heap_kept *kept; /* pages for heap_memory__read_kept; NULL: it keeps none */
	/* Is the page at addr resident by now? It was not when `present` was made. */
	bool (*now_present)(void *arg, uint64_t addr);
	/* NULL: blocks are live, which the walk may go by. Else that is what is asked: called,
	 * maybe more than once, with each that begins where a chunk in use does, which has room for
	 * so many bytes. */
	void (*in_use)(void *arg, const struct ledger_block *b, uint64_t room);
	void *arg;
};

#define HEAP_MEMORY_WINDOW (1ULL << 20)

/* Reads what is resident. -ENODATA: not all of it is. */
int heap_memory__read(const struct heap_memory *m, uint64_t addr, void *buf, size_t len);
/* The same for a few bytes here and there: as they are, or were when something near them was read
 * in this way. */
int heap_memory__read_kept(const struct heap_memory *m, uint64_t addr, void *buf, size_t len);
/* From now on pages are kept. 0 or -ENOMEM; freed by heap_memory__forget, which accepts none. */
int heap_memory__keep(struct heap_memory *m);
void heap_memory__forget(struct heap_memory *m);
/* The end of the resident stretch that addr lies in; 0: it is not resident. */
uint64_t heap_memory__present_until(const struct heap_memory *m, uint64_t addr);
/* Resident bytes of [start, end). */
uint64_t heap_memory__resident(const struct heap_memory *m, uint64_t start, uint64_t end);
/* Where the data of a module ends whose first writable mapping is number i: with its bss. */
uint64_t heap_memory__data_end(const struct ledger_input *maps, size_t i);
/* Adds [start, end) to what is covered of each mapping (maps->n elements). */
void heap_memory__cover(const struct heap_memory *m, uint64_t start, uint64_t end,
			struct ledger_bytes *cover);

#endif
