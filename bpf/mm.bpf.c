// SPDX-License-Identifier: GPL-2.0-only
/*
 * mm.bpf.c - what happens to address spaces between two passes of the task iterator.
 *
 * Where a process's RSS peaks between two passes is found in one of two ways:
 *
 * - mw_mm_tick looks at the running task at every expiry of a timer, the scheduler's tick among
 *   them. RSS grows only while its process runs, so a peak is missed by at most what can be touched
 *   in one tick; a peak above all before it is in the kernel's own high-water mark, to the page.
 *   Page faults cost nothing more.
 * - mw_mm_rss sees every change. From 6.2 on rss_stat fires at every page fault and costs it some
 *   10 % even if the program does nothing, so it is for those who ask; until 6.1 the kernel fires
 *   once per 64 faults and it is the better way.
 *
 * Both end after a few instructions unless the shared part of the kernel's counters moved. Then the
 * address space is added up and the process's interval peak raised. Nothing is sent: the next pass
 * takes the peak. Exec and exit send one small event each, so that processes that live and die
 * between two passes are seen, with their peak.
 */
#include "kernel.h"
#include "mmstat.h"
#include "mmslot.h"
#include "memwatch/mm.h"

const volatile bool mm_watch_all = true;

struct mm_percpu_map mm_percpu SEC(".maps");
struct mm_anchor_map mm_anchor SEC(".maps");
struct mm_slots_map mm_slots SEC(".maps");
struct mm_watch_map mm_watch SEC(".maps");
struct mm_counters_map mm_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} mm_events SEC(".maps");

/* What the last event on this CPU saw. */
struct mm_last {
	u64 mm;
	s64 count[NR_MM_COUNTERS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mm_last);
} mm_last SEC(".maps");

/* True if nothing that matters moved since the last event on this CPU. */
static __always_inline bool mm_unmoved(struct mm_struct *mm, int member)
{
	u32 zero = 0;
	struct mm_last *last;
	s64 count;

	if (HAVE_MM_RSS_STAT())
		return false; /* the kernel itself coalesces there */
	last = bpf_map_lookup_elem(&mm_last, &zero);
	if (!last)
		return false;
	switch (member) {
	case MM_ANONPAGES: count = mm->rss_stat[MM_ANONPAGES].count; break;
	case MM_FILEPAGES: count = mm->rss_stat[MM_FILEPAGES].count; break;
	case MM_SHMEMPAGES: count = mm->rss_stat[MM_SHMEMPAGES].count; break;
	default: return true;
	}
	if (last->mm == (u64)mm && last->count[member] == count)
		return true;
	if (last->mm != (u64)mm) {
		last->mm = (u64)mm;
		last->count[MM_ANONPAGES] = last->count[MM_FILEPAGES] = -1;
		last->count[MM_SHMEMPAGES] = -1;
	}
	last->count[member] = count;
	return false;
}

/* What a process has now, if it is one that is kept. */
static __always_inline void mm_see(struct mm_struct *mm, u32 tgid)
{
	struct mm_slot *slot = bpf_map_lookup_elem(&mm_slots, &tgid);
	struct mm_rss rss;

	if (!slot)
		return;
	mm_read_rss(mm, &rss);
	mm_slot_raise(mm, slot, &rss);
	mm_count(MW_MM_C_UPDATES);
}

SEC("?tp_btf/hrtimer_expire_entry")
int BPF_PROG(mw_mm_tick)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	u32 moved;

	if (!mm || (task->flags & PF_KTHREAD))
		return 0;
	/* all three, so that each is noted */
	moved = !mm_unmoved(mm, MM_ANONPAGES);
	moved += !mm_unmoved(mm, MM_FILEPAGES);
	moved += !mm_unmoved(mm, MM_SHMEMPAGES);
	if (moved)
		mm_see(mm, task->tgid);
	return 0;
}

/* The process an address space belongs to; 0 if it cannot be told. */
static __always_inline u32 mm_tgid(struct mm_struct *mm)
{
	struct task_struct *task;

	if (bpf_core_field_exists(mm->owner)) {
		task = mm->owner;
		if (task)
			return task->tgid;
	}
	task = bpf_get_current_task_btf();
	return task->mm == mm ? task->tgid : 0;
}

SEC("?tp_btf/rss_stat")
int BPF_PROG(mw_mm_rss, struct mm_struct *mm, int member)
{
	if (member == MM_SWAPENTS || mm_unmoved(mm, member))
		return 0;
	mm_see(mm, mm_tgid(mm));
	return 0;
}

static __always_inline void mm_send(struct task_struct *task, u32 type, const struct mm_rss *rss,
				    u64 virt_pages, const struct mm_moment *peak, s64 max)
{
	struct mw_mm_ev *e = bpf_ringbuf_reserve(&mm_events, sizeof(*e), 0);

	if (!e) {
		mm_count(MW_MM_C_LOST_RING);
		return;
	}
	if (max < peak->rss)
		max = peak->rss;
	e->type = type;
	e->tgid = task->tgid;
	e->ppid = task->real_parent->tgid;
	e->exit_code = task->exit_code;
	e->start_ns = task->group_leader->start_boottime;
	e->time_ns = bpf_ktime_get_ns();
	e->rss_bytes = (u64)mm_rss_total(rss) << mm_page_shift;
	e->virt_bytes = virt_pages << mm_page_shift;
	e->anon_bytes = (u64)rss->pages[MM_ANONPAGES] << mm_page_shift;
	e->file_bytes = (u64)rss->pages[MM_FILEPAGES] << mm_page_shift;
	e->shmem_bytes = (u64)rss->pages[MM_SHMEMPAGES] << mm_page_shift;
	e->swap_bytes = (u64)rss->pages[MM_SWAPENTS] << mm_page_shift;
	e->peak_anon_bytes = (u64)peak->anon << mm_page_shift;
	e->peak_file_bytes = (u64)peak->file << mm_page_shift;
	e->peak_shmem_bytes = (u64)peak->shmem << mm_page_shift;
	e->peak_virt_bytes = (u64)peak->virt << mm_page_shift;
	e->peak_time_ns = peak->time_ns;
	e->hiwater_rss_bytes = (u64)max << mm_page_shift;
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), task->group_leader->comm);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP); /* read at the next pass */
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(mw_mm_fork, struct task_struct *parent, struct task_struct *child)
{
	struct mm_struct *mm = child->mm;
	struct mm_rss rss = {};

	/* of chosen processes only: userspace adds the children it follows */
	if (child->tgid != child->pid || !mm || !mm_watch_all)
		return 0;
	mm_read_rss(mm, &rss);
	mm_slot_make(child, parent, mm, &rss, 0);
	return 0;
}

/*
 * The last moment of the old image, from 6.10 (5c5fad46e48c) on. Afterwards only signal->maxrss
 * tells its mark, and only if no earlier image had more.
 */
SEC("?tp_btf/sched_prepare_exec")
int BPF_PROG(mw_mm_prepare_exec, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	u32 tgid = task->tgid;
	struct mm_slot *slot = bpf_map_lookup_elem(&mm_slots, &tgid);
	struct mm_rss rss = {};

	if (!mm || !slot || slot->borrowed)
		return 0;
	mm_read_rss(mm, &rss);
	mm_slot_raise(mm, slot, &rss);
	mm_slot_raise_by_mark(mm->hiwater_rss, slot);
	return 0;
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(mw_mm_exec, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	u32 tgid = task->tgid;
	struct mm_moment peak = {};
	struct mm_rss rss = {};
	struct mm_slot *slot;
	s64 life = 0;

	if (!mm)
		return 0;
	slot = bpf_map_lookup_elem(&mm_slots, &tgid);
	if (!slot && !mm_watched(tgid))
		return 0;
	mm_read_rss(mm, &rss);
	if (slot && slot->start_ns == task->group_leader->start_boottime) {
		mm_slot_end_image(task, slot);
		peak = slot->peak;
		life = slot->life;
		mm_slot_new_image(task, mm, &rss, slot);
	} else {
		mm_moment_now(mm, &rss, &peak);
	}
	mm_send(task, MW_MM_EXEC, &rss, mm->total_vm, &peak, life);
	return 0;
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(mw_mm_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct mm_struct *mm = task->mm;
	struct mm_moment peak = {};
	struct mm_rss rss = {};
	struct mm_slot *slot;
	s64 life = 0;

	if (task->signal->live.counter || (task->flags & PF_KTHREAD))
		return 0;
	slot = bpf_map_lookup_elem(&mm_slots, &tgid);
	if (!slot && !mm_watched(tgid))
		return 0;
	if (mm) { /* from 6.16 on this comes before the address space is left */
		mm_read_rss(mm, &rss);
		mm_moment_now(mm, &rss, &peak);
	}
	if (slot && slot->start_ns == task->group_leader->start_boottime) {
		mm_slot_end_image(task, slot);
		if (mm)
			mm_slot_raise_by_mark(mm->hiwater_rss, slot);
		life = slot->life;
		if (peak.rss < slot->peak.rss)
			peak = slot->peak;
		/* Two threads that end at once both come here; one of them deletes. */
		if (bpf_map_delete_elem(&mm_slots, &tgid))
			return 0;
	}
	mm_send(task, MW_MM_EXIT, &rss, mm ? mm->total_vm : 0, &peak, life);
	return 0;
}
