// SPDX-License-Identifier: GPL-2.0-only
/* stack.bpf.c - tables of stack.h and the hash. */
#include "stack.h"

struct mw_scratch_map stack_scratch SEC(".maps");
struct mw_seen_map stack_seen SEC(".maps");
const volatile __u32 stack_max_frames = MW_MAX_FRAMES;
const volatile __u32 stack_fp_frames = 127;

__noinline u64 stack_hash(u32 slot)
{
	struct mw_scratch *s;
	u64 h;
	u32 n;

	s = bpf_map_lookup_elem(&stack_scratch, &slot);
	if (!s)
		return 0;
	n = s->ev.n;
	h = (u64)s->ev.hdr.target << 48 ^ (u64)s->ev.epoch << 16 ^ n ^ 0x9e3779b97f4a7c15ULL;
	for (u32 i = 0; i < MW_MAX_FRAMES; i++) {
		if (i >= n)
			break;
		h = (h ^ s->pc[i]) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	return h ? h : 1;
}
