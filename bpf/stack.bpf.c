// SPDX-License-Identifier: GPL-2.0-only
/* stack.bpf.c - tables of stack.h and the hash. */
#include "stack.h"
#include "memwatch/stack_hash.h"

struct mw_scratch_map stack_scratch SEC(".maps");
struct mw_seen_map stack_seen SEC(".maps");
const volatile __u32 stack_max_frames = MW_MAX_FRAMES;
const volatile __u32 stack_fp_frames = 127;

#define HASH_PART                                                                   \
	64 /* frames: the verifier looks at two short loops much faster than at one \
	    * of MW_MAX_FRAMES, and that is felt at the start of every run */
_Static_assert(!(MW_MAX_FRAMES & (MW_MAX_FRAMES - 1)), "an index is masked");

__noinline u64 stack_hash_part(u32 slot, u32 from, u64 h)
{
	struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);
	u32 n;

	if (!s)
		return 0;
	n = s->ev.n;
	for (u32 i = 0; i < HASH_PART; i++) {
		if (from + i >= n)
			break;
		h = mw_stack_hash_add(h, s->pc[(from + i) & (MW_MAX_FRAMES - 1)]);
	}
	return h;
}

__noinline u64 stack_hash(u32 slot)
{
	struct mw_scratch *s;
	u64 h;
	u32 n;

	s = bpf_map_lookup_elem(&stack_scratch, &slot);
	if (!s)
		return 0;
	n = s->ev.n;
	h = mw_stack_hash_begin(s->ev.hdr.target, s->ev.epoch, n);
	for (u32 from = 0; from < MW_MAX_FRAMES; from += HASH_PART) {
		if (from >= n)
			break;
		h = stack_hash_part(slot, from, h);
	}
	return mw_stack_hash_end(h);
}
