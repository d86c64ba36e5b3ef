/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reuse.h - what is known of the blocks of a process that is seen in windows.
 *
 * A sampled block counts as live while a walk of the heap finds a chunk of its size in use at its
 * address. One that was freed between two windows, and whose place was handed out again before the
 * walk, passes for live. So what each begins with is remembered as it was when its window closed:
 * allocators write there when a block is freed, and the next owner does. A block that still begins
 * so is taken for the one that was sampled; of one that has changed it is not known. Pure.
 */
#ifndef MODEL_REUSE_H
#define MODEL_REUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/livemap.h"

#define REUSE_BYTES 256 /* looked at, at most, at the start of a block */

struct reuse {
	struct livemap prints; /* by key, in `size`: what the block began with */
	/* What the last walk came to: */
	uint64_t looked_ns, took_ns; /* 0: there was none */
	bool known;		     /* there is a walk for what this process allocates with */
	char why[200];		     /* of the last that failed; "": it did not */
	double changed_bytes;	     /* in use, but not as they were */
};

void reuse__init(struct reuse *r, size_t max_blocks);
void reuse__fini(struct reuse *r);
/* The first n bytes of a block; 0: they cannot be seen, and are not taken for unchanged. */
void reuse__note(struct reuse *r, uint64_t key, const uint8_t *start, size_t n);
bool reuse__noted(const struct reuse *r, uint64_t key);
/* Does it begin as when it was noted? */
bool reuse__is_same(const struct reuse *r, uint64_t key, const uint8_t *start, size_t n);
/* A block of another process that is a copy of one of this. */
void reuse__copy(const struct reuse *from, uint64_t key, struct reuse *to, uint64_t to_key);
void reuse__forget(struct reuse *r, uint64_t key);

#endif
