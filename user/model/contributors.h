/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * contributors.h - who knows what memory is: allocators and runtimes, a file each, a row each in
 * contributors.c.
 *
 * To add one: write its file with one or both functions of struct contributor, and its row; nothing
 * else knows it by name. What it says goes into the lines of the ledger (ledger_share.h); a new
 * line is a value of enum ledger_kind and its name in ledger.c.
 *
 * What it looks at is a process that runs and belongs to somebody else: every size and pointer is
 * checked before it is used, every list is bounded, pages that are not resident are not read
 * (heap_memory__read). What contradicts itself is not told: no figure is better than a wrong one.
 */
#ifndef MODEL_CONTRIBUTORS_H
#define MODEL_CONTRIBUTORS_H

#include "model/heap_memory.h"
#include "model/ledger_share.h"

#define CONTRIBUTORS 4 /* rows */

struct contributor {
	const char *name;
	/* What an anonymous mapping is, told by the mappings alone (in->map[i]); LEDGER_KINDS: it
	 * is not this one's. NULL: cannot tell. */
	enum ledger_kind (*classify)(const struct ledger_input *in, size_t i);
	/*
	 * Looks into the memory. 0; -ENOENT: there is nothing of this kind here; -EBADMSG: it
	 * contradicts itself; -ENOMEM. Of an allocator (rest is LEDGER_USED) walk.note says why
	 * not. *ret is freed by contributors__free in any case. NULL: classify is all there is.
	 */
	int (*find)(const struct heap_memory *m, struct ledger_share *ret);
};

extern const struct contributor contributors[CONTRIBUTORS];

/* The first answer, LEDGER_KINDS: none. */
enum ledger_kind contributors__classify(const struct ledger_input *in, size_t i);

/*
 * Asks all. *ret_n shares, in the order of the rows; live blocks that one has are not another's.
 * 0; else of the allocators' failures the one that says most (-ENOENT: no heap is here), with its
 * sentence in note; shares of others are there all the same.
 */
int contributors__find(const struct heap_memory *m, struct ledger_share ret[CONTRIBUTORS],
		       size_t *ret_n, char *note, size_t note_len);
void contributors__free(struct ledger_share *s, size_t n);

#endif
