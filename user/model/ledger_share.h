/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger_share.h - the lines of a ledger, and what one contributor (contributors.h) tells of them:
 * parts of the mappings, and what these parts are.
 */
#ifndef MODEL_LEDGER_SHARE_H
#define MODEL_LEDGER_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ledger_input.h"

enum ledger_kind { /* histories keep their lines in this order: a new kind is the last */
		   LEDGER_LIVE,	    /* live heap attributed to stacks */
		   LEDGER_OLD,	    /* heap in use that the profile has no stack of: from before the
				       attach */
		   LEDGER_USED,	    /* heap in use where no profile runs */
		   LEDGER_BEFORE,   /* where the heap was not walked: LEDGER_OLD and LEDGER_RETAINED
				       in one */
		   LEDGER_RETAINED, /* what the allocator keeps but nobody uses */
		   LEDGER_OVERHEAD, /* headers, rounding, the allocator's tables */
		   LEDGER_HEAP, /* allocator's memory where no profile runs and nothing was walked
				 */
		   LEDGER_STACK_MAIN,
		   LEDGER_STACK_THREADS,
		   LEDGER_MODULE_CODE, /* executable mappings of modules */
		   LEDGER_MODULE_DATA, /* all other mappings of modules, their bss too */
		   LEDGER_FILES,       /* other mapped files */
		   LEDGER_SHARED,      /* shared memory: shm, memfd, tmpfs, anonymous shared */
		   LEDGER_GO,	       /* Go heap and runtime, where it does not tell */
		   LEDGER_GO_INUSE,    /* what MemStats calls it: spans with objects, */
		   LEDGER_GO_FREE,     /* spans without, kept, */
		   LEDGER_GO_RELEASED, /* released, or never used; resident if freed lazily */
		   LEDGER_GO_STACKS,
		   LEDGER_GO_METADATA, /* spans, caches, GC */
		   LEDGER_GO_OFFHEAP,  /* profile's buckets, other */
		   LEDGER_JIT,	       /* anonymous executable memory */
		   LEDGER_PYTHON,      /* arenas of Python's allocator */
		   LEDGER_RESERVED,    /* PROT_NONE: address space only */
		   LEDGER_KERNEL,      /* vdso, vvar */
		   LEDGER_OTHER,       /* unattributed anonymous memory */
		   LEDGER_DIFFERENCE,  /* the kernel's counter minus the mappings */
		   LEDGER_KINDS,
};

struct ledger_walk {  /* an allocator's heap as walked, bytes of address space but for chunks */
	bool done;    /* false: the rest is 0 and `note` says why */
	bool partial; /* some heaps are not in it; they are in the combined line */
	uint64_t chunks, arenas, heaps, retries;
	uint64_t used, mmapped;		       /* mmapped: the part with mappings of its own */
	uint64_t tcache, fastbin, binned, top; /* what is retained */
	uint64_t own;
	uint64_t took_ns; /* filled in by who walked */
	char note[200];
};

#define LEDGER_PARTS 5
struct ledger_part {
	enum ledger_kind kind;
	struct ledger_bytes bytes;
};

struct ledger_share {
	/* What is covered and none of the parts below: LEDGER_USED, blocks of an allocator, which
	 * are split by the profile where one runs; else the line that it belongs to. */
	enum ledger_kind rest;
	struct ledger_bytes *cover; /* of each mapping; malloc'ed */
	size_t ncover;
	struct ledger_bytes kept, own;	       /* freed and kept; headers, rounding, tables */
	struct ledger_part part[LEDGER_PARTS]; /* other lines that take of it */
	size_t nparts;
	/* LEDGER_USED: live blocks of the profile in it, weighted: their bytes; what of the rest is
	 * their headers and rounding */
	double live_virt, live_rss, live_own_virt, live_own_rss;
	struct ledger_block *stray; /* live blocks that lie in none of it; malloc'ed */
	size_t nstray;
	unsigned failed;	 /* heaps that could not be looked through */
	unsigned lasting;	 /* of them, those that will not be at another time either */
	struct ledger_walk walk; /* LEDGER_USED: what to say of it; else not done */
};

#endif
