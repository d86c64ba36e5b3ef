/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger.h - where every resident byte of a process belongs, in lines that add up to the kernel's
 * RSS exactly.
 *
 * Mappings are classified by what they are (module, file, shared memory, stack, allocator's,
 * runtime's, other). Of the allocator's resident memory, what the live heap accounts for is one
 * line and the rest another: pages the allocator keeps, and, when the profile began after the
 * process, blocks from before. What no rule knows is "unattributed". What the kernel's counter
 * says beyond the mappings (or less) is "difference". Pure.
 */
#ifndef MODEL_LEDGER_H
#define MODEL_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ledger_share.h"

struct ledger_heap {
	bool known;			  /* a heap profile runs */
	bool from_start;		  /* since the process began: nothing is from before */
	const struct ledger_block *block; /* ascending addresses */
	size_t nblocks;
	const struct ledger_share
		*share; /* what contributors found, each mapping first come first served */
	size_t nshares;
	const char *why_not; /* no allocator's heap is among them, that is why; may be NULL */
};

struct ledger_line {
	int64_t virt_bytes, rss_bytes, swap_bytes; /* rss may be negative in DIFFERENCE only */
	uint32_t mappings;
};

struct ledger_reservation { /* a stretch of address space with little in it */
	uint64_t start, virt_bytes, rss_bytes;
	bool accessible;
};
#define LEDGER_RESERVATIONS 8

struct ledger {
	struct ledger_line line[LEDGER_KINDS];
	uint64_t rss_bytes, virt_bytes, swap_bytes, pgtables_bytes, hugetlb_bytes;
	uint64_t untouched_bytes; /* live heap beyond what is resident: allocated, never touched */
	uint64_t over_bytes; /* by so much the live heap, an estimate, exceeds the heap in use */
	bool has_heap, from_start, steady;
	int64_t unix_ms; /* when the mappings were read; 0: not known */
	struct ledger_walk walk;
	struct ledger_reservation reservation[LEDGER_RESERVATIONS]; /* largest first */
	size_t nreservations;
};

/* What a mapping is. `in` gives its neighbours (bss, arenas). heap may be NULL. */
enum ledger_kind ledger__classify(const struct ledger_input *in, size_t i,
				  const struct ledger_heap *heap);

/* Σ line[].rss_bytes == rss_bytes and Σ line[].virt_bytes == virt_bytes, always. */
void ledger__make(const struct ledger_input *in, const struct ledger_heap *heap,
		  struct ledger *ret);

/* "live heap", "thread stacks", …; what it means in one sentence. */
const char *ledger__name(enum ledger_kind k);
const char *ledger__key(enum ledger_kind k); /* for JSON: "live_heap" */
/* "ledger_live_heap_bytes", … by kind: what is resident, as timeline.more_name. */
extern const char *const ledger_columns[LEDGER_KINDS];

/* Whether the line is worth showing: it has anything, or says that all is accounted for. */
bool ledger__is_shown(const struct ledger *l, enum ledger_kind k);

#endif
