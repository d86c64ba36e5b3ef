// SPDX-License-Identifier: GPL-2.0-only
/*
 * gotrace.bpf.c - the end of a Go program's GC cycle, seen at the entry of runtime.mProf_Flush:
 * by then the world runs again and every figure of the cycle is final. Once per cycle, an entry
 * probe only: nothing on the stack is touched.
 */
#include "kernel.h"
#include "memwatch/gotrace.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
} go_cycles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct mw_go_config);
} go_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_GO_C_COUNT);
	__type(key, u32);
	__type(value, u64);
} go_counters SEC(".maps");

static __always_inline void go_count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&go_counters, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

SEC("?uprobe")
int mw_go_cycle_end(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, work, gc, ms;
	struct mw_go_config *c = bpf_map_lookup_elem(&go_config, &tgid);
	struct mw_go_cycle *e;

	if (!c)
		return 0;
	go_count(MW_GO_C_CYCLES);
	work = c->work.len;
	gc = c->gc.len;
	ms = c->ms.len;
	if (work > MW_GO_WORK_MAX || gc > MW_GO_GC_MAX || ms > MW_GO_MS_MAX)
		return 0;
	e = bpf_ringbuf_reserve(&go_cycles, sizeof(*e), 0);
	if (!e) {
		go_count(MW_GO_C_LOST_RING);
		return 0;
	}
	e->tgid = tgid;
	e->tid = (u32)id;
	e->time_ns = bpf_ktime_get_ns();
	if (bpf_probe_read_user(e->work, work, (void *)c->work.addr) ||
	    bpf_probe_read_user(e->gc, gc, (void *)c->gc.addr) ||
	    bpf_probe_read_user(e->ms, ms, (void *)c->ms.addr)) {
		go_count(MW_GO_C_UNREADABLE);
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	/* No wake-up: the reader looks in regularly, and does not run beside the GC's own threads.
	 */
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}
