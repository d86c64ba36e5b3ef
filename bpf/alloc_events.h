/* SPDX-License-Identifier: GPL-2.0-only */
/* alloc_events.h - what every program that tells of blocks needs to send its events. */
#ifndef BPF_ALLOC_EVENTS_H
#define BPF_ALLOC_EVENTS_H

#include "maps.h"
#include "memwatch/alloc.h"

extern struct mw_alloc_config alloc_config;

/* How full the ring is lies on a cache line that the reader writes: one event in eight looks. */
static __always_inline u64 wake_flags(u64 time_ns)
{
	if (time_ns >> 5 & 7)
		return BPF_RB_NO_WAKEUP;
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= alloc_config.wake_bytes
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

static __always_inline int send_free(u32 target, u8 type, u8 fn, u64 addr, u64 flags)
{
	struct mw_ev_free *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev)
		return -1;
	ev->hdr.type = type;
	ev->hdr.kind = fn;
	ev->hdr.target = target;
	ev->hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->hdr.time_ns = bpf_ktime_get_ns();
	ev->addr = addr;
	ev->flags = flags;
	bpf_ringbuf_submit(ev, wake_flags(ev->hdr.time_ns));
	return 0;
}

#endif
