/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * livemap.h - live blocks by address: 24 bytes each in an open-addressing table.
 *
 * The table is split into shards that grow and shrink one at a time, so that growing never needs
 * room for a second copy of everything: between 27 and 55 bytes of memory per block. Linear
 * probing, deletion by shifting back (no tombstones). Pure; one thread at a time.
 */
#ifndef MODEL_LIVEMAP_H
#define MODEL_LIVEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIVEMAP_SHARDS 64

struct livemap_block {
	uint64_t key;		     /* MW_LIVE_KEY(target, address); 0: no block */
	uint64_t size : 44;	     /* bytes asked for */
	uint64_t rate : 10;	     /* index into the heap's sampling rates */
	uint64_t time_fraction : 10; /* of time_ms: 1024 to the millisecond */
	uint32_t site;		     /* who allocated it */
	uint32_t time_ms;	     /* when, since the heap was made */
};

struct livemap_shard {
	struct livemap_block *slot;
	uint32_t n, mask; /* slots - 1; slot is NULL while mask is 0 */
};

struct livemap {
	struct livemap_shard shard[LIVEMAP_SHARDS];
	size_t n, max;
};

/* An empty map for at most `max` blocks. */
void livemap__init(struct livemap *m, size_t max);
void livemap__fini(struct livemap *m);

/* Adds a block. If its key was there, *old gets the previous block and 1 is returned (replaced).
 * 0: added. -ENOSPC: full; -ENOMEM. */
int livemap__put(struct livemap *m, const struct livemap_block *b, struct livemap_block *old);
/* Removes a block: true and a copy in *ret if it was there. */
bool livemap__take(struct livemap *m, uint64_t key, struct livemap_block *ret);
const struct livemap_block *livemap__find(const struct livemap *m, uint64_t key);

/* Calls fn for every block, in no order; the map must not change meanwhile. */
void livemap__each(const struct livemap *m, void (*fn)(void *arg, const struct livemap_block *b),
		   void *arg);
/* The sites have new numbers: of each block's, the entry with its old number. */
void livemap__renumber(struct livemap *m, const uint32_t *new_site);
/* Bytes of memory in use. */
size_t livemap__memory(const struct livemap *m);

#endif
