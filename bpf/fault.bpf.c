// SPDX-License-Identifier: GPL-2.0-only
/*
 * fault.bpf.c - which user stacks make pages resident: a sample of the page faults.
 *
 * Runs at the overflow of the kernel's page-fault counters (software perf events per CPU), so that
 * only every n-th fault comes here at all. One sample stands for n faults. What becomes of the page
 * is userspace's business: it looks whether the page is still there (pagemap), which subtracts
 * munmap, madvise, exec and exit alike.
 */
#include "stack.h"
#include <linux/bpf_perf_event.h>

const volatile bool fault_all = false; /* processes outside of the targets' table too */

SEC("?perf_event")
int mw_fault_sample(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mw_target *t = current_target();
	u32 target = t ? t->index : MW_STRANGER, tgid = task->tgid;
	struct mw_ev_fault *ev;
	u64 stack;

	if ((!t && !fault_all) || !task->mm || (task->flags & PF_KTHREAD))
		return 0;
	if (runs_32bit(task)) {
		lost(target, MW_LOSS_FAULT_32BIT);
		return 0;
	}
	stack = stack_id(ctx, target, t ? epoch_of(t->index) : tgid, 0);
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lost(target, MW_LOSS_FAULT_RING);
		return 0;
	}
	ev->hdr.type = MW_EV_FAULT;
	ev->hdr.kind = 0;
	ev->hdr.target = target;
	ev->hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->hdr.time_ns = bpf_ktime_get_ns();
	ev->addr = ctx->addr;
	ev->stack = stack;
	ev->pid = tgid;
	ev->pad = 0;
	bpf_ringbuf_submit(ev, wake_first(ev->hdr.time_ns));
	return 0;
}
