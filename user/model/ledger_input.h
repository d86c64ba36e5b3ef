/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ledger_input.h - what a ledger and the walks through heaps are told of a process: its mappings,
 * the kernel's figures, the live blocks. */
#ifndef MODEL_LEDGER_INPUT_H
#define MODEL_LEDGER_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_map { /* one row of smaps; sizes in bytes */
	uint64_t start, end, offset, inode;
	char perms[5];
	char *path; /* as in maps; "" for anonymous memory */
	uint64_t rss, pss, anonymous, swap, hugetlb, thp;
	bool stack_of_thread; /* a thread's stack pointer is in it */
	bool growsdown, noreserve, hugetlb_vma;
};

struct ledger_input {
	struct ledger_map *map; /* ascending addresses */
	size_t n, cap;
	/* the kernel's own figures of the same moment */
	uint64_t rss_bytes, virt_bytes, swap_bytes, pgtables_bytes;
	bool steady;	 /* RSS did not change while the mappings were read */
	int64_t unix_ms; /* when that was */
	uint32_t pid;
	char comm[17];
};

struct ledger_bytes {
	uint64_t virt, rss;
};

static inline void ledger_bytes__add(struct ledger_bytes *b, uint64_t virt, uint64_t rss)
{
	b->virt += virt;
	b->rss += rss;
}

struct ledger_block { /* a live block of the heap profile */
	uint64_t addr;
	double bytes;  /* that it stands for (its size times its weight) */
	uint64_t size; /* its own; 0: it stands for itself alone */
	uint32_t site; /* of the heap: who allocated it */
};

#endif
