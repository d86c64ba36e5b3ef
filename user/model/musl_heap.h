/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * musl_heap.h - the heap of musl's malloc (mallocng, musl 1.2.1 and later, 64-bit), slot by slot,
 * from outside.
 *
 * mallocng keeps its books apart from the memory it hands out: pages of group descriptors, each
 * page with the process's secret, in a list that begins in libc's data (of a static program, in its
 * own). That is how it is found: a word in data that is also the first of the page to which the
 * word 56 or 64 bytes behind it points. A group is 1 to 32 slots of one size; two masks say which
 * are free. It has mappings of its own, lies in a slot of a larger group, or in what was left of
 * the data of modules. No symbols are needed. Pure; what is read is not trusted.
 */
#ifndef MODEL_MUSL_HEAP_H
#define MODEL_MUSL_HEAP_H

#include "model/heap_memory.h"
#include "model/ledger_share.h"

/* As a contributor (contributors.h). Of the walk: used: the bytes that were asked for in slots in
 * use (malloc_usable_size); chunks: these slots; heaps: groups; binned: free slots. */
int musl_heap__find(const struct heap_memory *m, struct ledger_share *ret);

#endif
