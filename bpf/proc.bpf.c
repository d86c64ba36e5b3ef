// SPDX-License-Identifier: GPL-2.0-only
/*
 * proc.bpf.c - what happens to the processes under observation: fork, exec, the end; and the
 * mappings of the address space: anonymous memory as a class of its own, executable files so that
 * userspace looks for allocators and unwind tables in them.
 *
 * System calls are seen at the tracepoints of their ends alone, where only those count that
 * succeeded: to look at their beginnings would make every system call of the machine take longer
 * still.
 */
#include "stack.h"

#include <asm/unistd.h>

#define MW_PROT_EXEC 4
#define MW_MAP_FIXED 0x10
#define MW_MAP_ANONYMOUS 0x20
#define MW_MAP_FIXED_NOREPLACE 0x100000
#define MW_MREMAP_DONTUNMAP 4

/* Forks and execs of processes that are no targets are told too: one of them may be to become one.
 */
const volatile bool proc_all = false;

/* Ends of the brk areas, by target: a call tells only the new one. 0: not known. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_MAX_TARGETS);
	__type(key, u32);
	__type(value, u64);
} proc_brks SEC(".maps");

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
	u64 *brk;

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
	brk = bpf_map_lookup_elem(&proc_brks, &t->index);
	if (brk)
		*brk = 0; /* programs ask for it before they move it */
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

/* The arguments of the system call that ends: the registers that the thread came into the kernel
 * with stay as they were until it goes back. */
static __always_inline void call_args(u64 ret[4])
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

#ifdef __TARGET_ARCH_arm64
	bpf_probe_read_kernel(ret, 4 * sizeof(*ret), regs);
	/* the first has become the result; what it was stands behind those a debugger sees */
	bpf_probe_read_kernel(ret, sizeof(*ret), (void *)regs + sizeof(struct user_pt_regs));
#else /* one by one: the walker leaves little of the stack */
	bpf_probe_read_kernel(&ret[0], sizeof(*ret), &PT_REGS_PARM1_SYSCALL(regs));
	bpf_probe_read_kernel(&ret[1], sizeof(*ret), &PT_REGS_PARM2_SYSCALL(regs));
	bpf_probe_read_kernel(&ret[2], sizeof(*ret), &PT_REGS_PARM3_SYSCALL(regs));
	bpf_probe_read_kernel(&ret[3], sizeof(*ret), &PT_REGS_PARM4_SYSCALL(regs));
#endif
}

static __always_inline void send_map(void *ctx, struct mw_target *t, struct mw_ev_map *m)
{
	struct mw_ev_map *ev;
	u64 stack = 0;

	if (m->hdr.kind != MW_MAP_MUNMAP)
		stack = stack_id(ctx, t->index, epoch_of(t->index), 1);
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lost(t->index, MW_LOSS_MAP_RING);
		return;
	}
	*ev = *m;
	ev->hdr.type = MW_EV_MAP;
	ev->hdr.target = t->index;
	ev->hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->hdr.time_ns = bpf_ktime_get_ns();
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

/* What the call has done; false: nothing that is told. */
static __always_inline bool mmap_of(const u64 *arg, struct mw_ev_map *m)
{
	u64 flags = arg[3];

	m->size = page_round(arg[1]);
	if (flags & MW_MAP_ANONYMOUS)
		m->hdr.kind = MW_MAP_MMAP;
	else if ((flags & (MW_MAP_FIXED | MW_MAP_FIXED_NOREPLACE)) == MW_MAP_FIXED)
		m->hdr.kind = MW_MAP_MUNMAP; /* a file in the place of what was there */
	else
		return false;
	return true;
}

/* A file that may run, or what may be text that was moved: anonymous code in another's place. */
static __always_inline bool maps_code(const u64 *arg)
{
	u64 flags = arg[3];

	return (arg[2] & MW_PROT_EXEC) && (!(flags & MW_MAP_ANONYMOUS) || flags & MW_MAP_FIXED);
}

static __always_inline bool mremap_of(const u64 *arg, struct mw_ev_map *m)
{
	m->hdr.kind = MW_MAP_MREMAP;
	m->old_addr = arg[0];
	m->size = page_round(arg[2]);
	if (!(arg[3] & MW_MREMAP_DONTUNMAP)) /* or the mapping stays */
		m->old_size = page_round(arg[1]);
	return true;
}

static __always_inline bool munmap_of(const u64 *arg, struct mw_ev_map *m)
{
	m->hdr.kind = MW_MAP_MUNMAP;
	m->addr = arg[0];
	m->size = page_round(arg[1]);
	return true;
}

/* One that fails, or only asks, tells where the area ends, too. */
static __always_inline bool brk_of(u32 index, struct mw_ev_map *m)
{
	u64 *brk = bpf_map_lookup_elem(&proc_brks, &index);

	if (!brk)
		return false;
	m->hdr.kind = MW_MAP_BRK;
	m->old_addr = *brk;
	*brk = m->addr;
	return m->old_addr && m->old_addr != m->addr;
}

/* Arguments of the tracepoint (include/trace/syscall.h). */
struct sys_exit_args {
	u64 common;
	s32 nr, pad;
	s64 ret;
};

/*
 * One program for the ends of the four calls: it holds the walker, and the verifier's look at it is
 * most of the start of a run. Addresses beyond the first page from the top are errors.
 */
SEC("?tracepoint/syscalls/sys_exit_mmap")
int mw_proc_map_exit(struct sys_exit_args *ctx)
{
	struct mw_target *t = current_target();
	bool told = false, code = false;
	struct mw_ev_map m = {.addr = ctx->ret};
	u64 arg[4];

	if (!t || (ctx->ret < 0 && ctx->ret > -4096) || runs_32bit((void *)bpf_get_current_task()))
		return 0; /* 64-bit calls of a 32-bit program; its own are not told by the kernel */
	call_args(arg);
	switch (ctx->nr) {
	case __NR_mmap:
		told = mmap_of(arg, &m);
		code = maps_code(arg);
		break;
	case __NR_mremap: told = mremap_of(arg, &m); break;
	case __NR_munmap: told = munmap_of(arg, &m); break;
	case __NR_brk: told = brk_of(t->index, &m); break;
	}
	if (told)
		send_map(ctx, t, &m);
	if (code)
		send_execmap(t);
	return 0;
}
