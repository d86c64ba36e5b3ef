/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * anon.h - anonymous mappings made since the attach, by address, each with the stack that made
 * it. A class of its own beside the heap: it counts address space, not memory in use, and what an
 * allocator maps for itself is marked as internal so that nothing is counted twice. Pure.
 */
#ifndef MODEL_ANON_H
#define MODEL_ANON_H

#include "memwatch/wire.h"
#include "model/heap.h"

struct anon_region {
	uint64_t start, end;
	uint32_t site;
};

struct anon_target {
	struct anon_region *regions; /* by address, not overlapping */
	size_t n, cap;
	uint64_t lost; /* mappings beyond the cap */
};

struct anon {
	struct heap *heap;
	struct anon_target *targets; /* MW_MAX_TARGETS */
};

int anon__new(struct heap *heap, struct anon **ret);
void anon__free(struct anon *a);

/* Applies one event. */
void anon__event(struct anon *a, const struct mw_ev_map *ev);
int anon__fork(struct anon *a, uint32_t parent, uint32_t child);
void anon__clear_target(struct anon *a, uint32_t target);
/* The target is gone for good: after heap__drop_target. */
void anon__drop_target(struct anon *a, uint32_t target);
/* Sites have new numbers (heap__compact). */
void anon__renumber(struct anon *a, const uint32_t *new_site);
/* Bytes mapped by this target's program itself and still there (allocators' own left out). */
uint64_t anon__mapped_bytes(const struct anon *a, uint32_t target);

#endif
