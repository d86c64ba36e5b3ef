/* SPDX-License-Identifier: GPL-2.0-only */
/* alloc_live.h - the sampled blocks that are live. */
#ifndef BPF_ALLOC_LIVE_H
#define BPF_ALLOC_LIVE_H

#include "maps.h"
#include "memwatch/alloc.h"

/* Sampled blocks that are live: MW_LIVE_KEY → size. A plain hash that refuses when full (and
 * counts): an evicted entry would pass for a free. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u64);
} alloc_live SEC(".maps");

/* By MW_LIVE_MARK; userspace adds to it, too. */
__u32 alloc_marks[MW_LIVE_MARKS];

static __always_inline u64 *live_find(u64 *key)
{
	return alloc_marks[MW_LIVE_MARK(*key)] ? bpf_map_lookup_elem(&alloc_live, key) : NULL;
}

/* Over one whose free was not seen, too. */
static __always_inline int live_put(u64 *key, u64 *size)
{
	u32 *mark = &alloc_marks[MW_LIVE_MARK(*key)];
	int err;

	__sync_fetch_and_add(mark, 1);
	err = bpf_map_update_elem(&alloc_live, key, size, BPF_NOEXIST);
	if (!err)
		return 0;
	__sync_fetch_and_add(mark, -1);
	return bpf_map_update_elem(&alloc_live, key, size, BPF_EXIST);
}

static __always_inline void live_drop(u64 *key)
{
	if (!bpf_map_delete_elem(&alloc_live, key))
		__sync_fetch_and_add(&alloc_marks[MW_LIVE_MARK(*key)], -1);
}

/* Forgets a sampled block; its size in *size if it was there. */
static __always_inline bool live_take(u32 target, u64 addr, u64 *size)
{
	u64 key = MW_LIVE_KEY(target, addr), *v = live_find(&key);

	if (!v)
		return false;
	*size = *v;
	live_drop(&key);
	return true;
}

#endif
