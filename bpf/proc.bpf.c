// SPDX-License-Identifier: GPL-2.0-only
/*
 * proc.bpf.c - what happens to the processes under observation: fork, exec, the end; and the
 * mappings of the address space: anonymous memory as a class of its own, executable files so that
 * userspace looks for allocators and unwind tables in them.
 *
 * System calls are seen at their tracepoints. Arguments wait in a per-thread entry between
 * entry and exit, because only a call that succeeded counts.
 */
#include "stack.h"

#define MW_PROT_EXEC 4
#define MW_MAP_FIXED 0x10
#define MW_MAP_ANONYMOUS 0x20
#define MW_MAP_FIXED_NOREPLACE 0x100000
#define MW_MREMAP_DONTUNMAP 4

/* Forks and execs of processes that are no targets are told too: one of them may be to become one.
 */
const volatile bool proc_all = false;

/* A system call between its entry and its exit. */
struct mapcall {
	u64 addr, size, old_addr, old_size;
	u8 op;	 /* enum mw_map_op; 0: only its code is of interest */
	u8 code; /* an executable mapping of a file, or in a fixed place */
	u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 13);
	__type(key, u32);
	__type(value, struct mapcall);
} proc_mapcalls SEC(".maps");

static __always_inline void send_proc(u32 type, u8 kind, u32 target, u32 pid, u32 parent,
				      u64 wakeup)
{
	struct mw_ev_proc *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev) {
		lost(target, MW_LOSS_PROC_RING);
		return;
	}
	ev->hdr.type = type;
	ev->hdr.kind = kind;
	ev->hdr.target = target;
	ev->hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->hdr.time_ns = bpf_ktime_get_ns();
	ev->pid = pid;
	ev->parent = parent;
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
	bpf_ringbuf_submit(ev, wakeup);
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(mw_proc_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = parent->tgid, pid = child->pid;
	struct mw_target *t = bpf_map_lookup_elem(&targets, &tgid);

	if ((!t && !proc_all) || child->pid != child->tgid)
		return 0; /* not ours, or a new thread */
	if (t)
		send_proc(MW_EV_FORK, child->mm == parent->mm, t->index, pid, tgid,
			  BPF_RB_FORCE_WAKEUP);
	else /* most execs are to come */
		send_proc(MW_EV_FORK, 0, MW_STRANGER, pid, tgid, wake_first(bpf_ktime_get_ns()));
	return 0;
}

static __always_inline void sharer_gone(struct mw_target *t, struct task_struct *task, u8 by_exec)
{
	u32 tgid = task->tgid;

	send_proc(MW_EV_SHARER, by_exec, t->index, tgid, 0, BPF_RB_FORCE_WAKEUP);
	bpf_map_delete_elem(&targets, &tgid);
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(mw_proc_exec, struct task_struct *task, int old_pid)
{
	struct mw_target *t = current_target();
	u32 *epoch;

	if (!t) {
		if (proc_all)
			send_proc(MW_EV_EXEC, 0, MW_STRANGER, task->tgid, old_pid,
				  BPF_RB_FORCE_WAKEUP);
		return 0;
	}
	if (t->sharer) { /* it has a memory of its own now */
		sharer_gone(t, task, 1);
		return 0;
	}
	epoch = bpf_map_lookup_elem(&epochs, &t->index);
	if (epoch)
		__sync_fetch_and_add(epoch, 1);
	send_proc(MW_EV_EXEC, 0, t->index, task->tgid, old_pid, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* When the last thread is gone; the group leader may have left long before. */
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(mw_proc_exit, struct task_struct *task)
{
	struct mw_target *t = current_target();

	if (!t)
		return 0;
	if (t->sharer && !BPF_CORE_READ(task, signal, live.counter))
		sharer_gone(t, task, 0);
	else if (!BPF_CORE_READ(task, signal, live.counter))
		send_proc(MW_EV_EXIT, 0, t->index, task->tgid, 0, BPF_RB_FORCE_WAKEUP);
	else if ((u32)task->pid == t->thread)
		send_proc(MW_EV_THREAD_END, 0, t->index, task->tgid, 0, BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline u64 page_round(u64 bytes)
{
	return (bytes + 4095) & ~4095ULL;
}

static __always_inline int mapcall_enter(struct mapcall *m)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct mw_target *t = current_target();

	if (!t || runs_32bit((void *)bpf_get_current_task()))
		return 0; /* one that makes 64-bit calls; its own are not told by the kernel */
	if (bpf_map_update_elem(&proc_mapcalls, &tid, m, BPF_ANY))
		lost(t->index, MW_LOSS_MAPCALL_FULL);
	return 0;
}

/* Arguments of a system call tracepoint (include/trace/syscall.h). */
struct sys_enter_args {
	u64 common;
	s64 nr;
	u64 arg[6];
};
struct sys_exit_args {
	u64 common;
	s64 nr;
	s64 ret;
};

SEC("?tracepoint/syscalls/sys_enter_mmap")
int mw_proc_mmap_enter(struct sys_enter_args *ctx)
{
	struct mapcall m = {.size = page_round(ctx->arg[1])};

	/* anonymous code in another's place may be text that was moved */
	m.code = (ctx->arg[2] & MW_PROT_EXEC) &&
		 (!(ctx->arg[3] & MW_MAP_ANONYMOUS) || ctx->arg[3] & MW_MAP_FIXED);
	if (ctx->arg[3] & MW_MAP_ANONYMOUS)
		m.op = MW_MAP_MMAP;
	else if ((ctx->arg[3] & (MW_MAP_FIXED | MW_MAP_FIXED_NOREPLACE)) == MW_MAP_FIXED)
		m.op = MW_MAP_MUNMAP; /* a file in the place of what was there */
	else if (!m.code)
		return 0;
	return mapcall_enter(&m);
}

SEC("?tracepoint/syscalls/sys_enter_munmap")
int mw_proc_munmap_enter(struct sys_enter_args *ctx)
{
	struct mapcall m = {
		.addr = ctx->arg[0], .size = page_round(ctx->arg[1]), .op = MW_MAP_MUNMAP};

	return mapcall_enter(&m);
}

SEC("?tracepoint/syscalls/sys_enter_mremap")
int mw_proc_mremap_enter(struct sys_enter_args *ctx)
{
	struct mapcall m = {.old_addr = ctx->arg[0],
			    .old_size = page_round(ctx->arg[1]),
			    .size = page_round(ctx->arg[2]),
			    .op = MW_MAP_MREMAP};

	if (ctx->arg[3] & MW_MREMAP_DONTUNMAP)
		m.old_size = 0; /* the pages move, the mapping stays */
	return mapcall_enter(&m);
}

SEC("?tracepoint/syscalls/sys_enter_brk")
int mw_proc_brk_enter(struct sys_enter_args *ctx)
{
	struct mapcall m = {.addr = ctx->arg[0], .op = MW_MAP_BRK};
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!m.addr)
		return 0; /* only asks */
	m.old_addr = BPF_CORE_READ(task, mm, brk);
	return mapcall_enter(&m);
}

static __always_inline void send_map(void *ctx, struct mw_target *t, struct mapcall *m)
{
	struct mw_ev_map *ev;
	u64 stack = 0;

	if (m->op != MW_MAP_MUNMAP)
		stack = stack_id(ctx, t->index, epoch_of(t->index), 1);
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lost(t->index, MW_LOSS_MAP_RING);
		return;
	}
	ev->hdr.type = MW_EV_MAP;
	ev->hdr.kind = m->op;
	ev->hdr.target = t->index;
	ev->hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->hdr.time_ns = bpf_ktime_get_ns();
	ev->addr = m->addr;
	ev->size = m->size;
	ev->old_addr = m->old_addr;
	ev->old_size = m->old_size;
	ev->stack = stack;
	bpf_ringbuf_submit(ev, wake_first(ev->hdr.time_ns));
}

static __always_inline void send_execmap(struct mw_target *t)
{
	struct mw_ev_hdr *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev) {
		lost(t->index, MW_LOSS_CODE_RING);
		return;
	}
	ev->type = MW_EV_EXECMAP;
	ev->kind = 0;
	ev->target = t->index;
	ev->tid = (u32)bpf_get_current_pid_tgid();
	ev->time_ns = bpf_ktime_get_ns();
	bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
}

/*
 * One program for the ends of the four calls: it holds the walker, and the verifier's look at it is
 * most of the start of a run. Addresses beyond the first page from the top are errors.
 */
SEC("?tracepoint/syscalls/sys_exit_mmap")
int mw_proc_map_exit(struct sys_exit_args *ctx)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct mapcall *p, m;
	struct mw_target *t;

	p = bpf_map_lookup_elem(&proc_mapcalls, &tid);
	if (!p)
		return 0;
	m = *p;
	bpf_map_delete_elem(&proc_mapcalls, &tid);
	t = current_target();
	if (!t || (ctx->ret < 0 && ctx->ret > -4096))
		return 0;
	switch (m.op) {
	case MW_MAP_MUNMAP:
		if (!ctx->ret) /* not munmap but a mapping in another's place */
			break;
		m.addr = ctx->ret;
		break;
	case MW_MAP_MMAP:
	case MW_MAP_MREMAP: m.addr = ctx->ret; break;
	case MW_MAP_BRK:
		m.addr = ctx->ret;
		if (m.addr == m.old_addr)
			return 0;
		break;
	}
	if (m.op)
		send_map(ctx, t, &m);
	if (m.code)
		send_execmap(t);
	return 0;
}
