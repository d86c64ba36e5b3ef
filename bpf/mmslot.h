/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmslot.h - one slot per watched process with its highest RSS since the last pass.
 *
 * Slots are keyed by tgid and carry the start time, so a reused PID never inherits one. Fork and
 * the first pass that meets a process make them, exec begins them anew, the exit of the last thread
 * ends them, the tick or rss_stat raises their peak, and so does the kernel's own high-water mark
 * where it rose: that one is exact but for the per-CPU parts that the kernel leaves out of it. A
 * pass takes the peak once: the iterator may show a task twice (when its buffer is full it is asked
 * again), so the pass's session id says whether it was taken.
 */
#ifndef BPF_MMSLOT_H
#define BPF_MMSLOT_H

#include "kernel.h"
#include "mmstat.h"
#include "memwatch/mm.h"

struct mm_moment { /* pages */
	s64 rss, anon, file, shmem, virt;
	u64 time_ns; /* CLOCK_MONOTONIC */
};

struct mm_slot {
	u64 start_ns;
	u64 session;
	struct mm_moment peak;	/* since the last pass */
	struct mm_moment taken; /* what the pass `session` was given */
	s64 hiwater;		/* the kernel's mark at the last pass, pages */
	s64 ended;		/* signal->maxrss when this image began: of those before it */
	s64 life;		/* the highest RSS of the images before, pages */
	u32 known;		/* events were seen for all of the interval that was taken */
	u32 borrowed;		/* born by vfork: until its exec the memory is the parent's */
};

struct mm_slots_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mm_slot);
};
extern struct mm_slots_map mm_slots SEC(".maps");

/* With mm_watch_all unset, only processes in this table get slots. */
struct mm_watch_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u32);
};
extern struct mm_watch_map mm_watch SEC(".maps");
extern const volatile bool mm_watch_all;

struct mm_counters {
	u64 v[MW_MM_C_COUNT];
};
struct mm_counters_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mm_counters);
};
extern struct mm_counters_map mm_counters SEC(".maps");

static __always_inline void mm_count(u32 counter)
{
	u32 zero = 0;
	struct mm_counters *c = bpf_map_lookup_elem(&mm_counters, &zero);

	if (c && counter < MW_MM_C_COUNT)
		c->v[counter]++;
}

static __always_inline bool mm_watched(u32 tgid)
{
	return mm_watch_all || bpf_map_lookup_elem(&mm_watch, &tgid);
}

static __always_inline void mm_moment_now(struct mm_struct *mm, const struct mm_rss *rss,
					  struct mm_moment *m)
{
	m->rss = mm_rss_total(rss);
	m->anon = rss->pages[MM_ANONPAGES];
	m->file = rss->pages[MM_FILEPAGES];
	m->shmem = rss->pages[MM_SHMEMPAGES];
	m->virt = mm->total_vm;
	m->time_ns = bpf_ktime_get_ns();
}

static __always_inline void mm_slot_make(struct task_struct *task, struct task_struct *parent,
					 struct mm_struct *mm, const struct mm_rss *rss,
					 u64 session)
{
	struct mm_slot slot = {.session = session};
	u32 tgid = task->tgid;

	slot.start_ns = task->group_leader->start_boottime;
	slot.ended = task->signal->maxrss;
	slot.borrowed = parent->mm == mm;
	mm_moment_now(mm, rss, &slot.peak);
	slot.taken = slot.peak;
	slot.hiwater = mm->hiwater_rss;
	if (bpf_map_update_elem(&mm_slots, &tgid, &slot, BPF_ANY))
		mm_count(MW_MM_C_LOST_SLOT);
}

static __always_inline void mm_slot_raise(struct mm_struct *mm, struct mm_slot *slot,
					  const struct mm_rss *rss)
{
	if (mm_rss_total(rss) > slot->peak.rss)
		mm_moment_now(mm, rss, &slot->peak);
}

/*
 * The kernel notes RSS in mm->hiwater_rss before it unmaps anything. If the mark rose, that is the
 * interval's peak to the page; what it has more than we saw counts as anonymous.
 */
static __always_inline void mm_slot_raise_by_mark(s64 mark, struct mm_slot *slot)
{
	s64 more = mark - slot->peak.rss;

	if (mark > slot->hiwater && more > 0) {
		slot->peak.rss = mark;
		slot->peak.anon += more;
	}
	slot->hiwater = mark;
}

/*
 * The image ends. The kernel has put its mark into signal->maxrss, unless an earlier image's is
 * higher: after a vfork that is the parent's, which says nothing of this process.
 */
static __always_inline void mm_slot_end_image(struct task_struct *task, struct mm_slot *slot)
{
	s64 mark = task->signal->maxrss;

	if (mark > slot->ended && !slot->borrowed) {
		mm_slot_raise_by_mark(mark, slot);
		if (slot->life < mark)
			slot->life = mark;
	}
	if (slot->life < slot->peak.rss && !slot->borrowed)
		slot->life = slot->peak.rss;
}

/* A new image: nothing of the old one's counts any more. */
static __always_inline void mm_slot_new_image(struct task_struct *task, struct mm_struct *mm,
					      const struct mm_rss *rss, struct mm_slot *slot)
{
	mm_moment_now(mm, rss, &slot->peak);
	slot->hiwater = mm->hiwater_rss;
	slot->ended = task->signal->maxrss;
	slot->borrowed = 0;
}

/* A pass met the process: its peak since the pass before goes into the row. */
static __always_inline void mm_slot_take_peak(u64 session, struct task_struct *task,
					      struct mm_struct *mm, const struct mm_rss *rss,
					      struct mw_task_row *row)
{
	u32 tgid = row->tgid;
	struct mm_slot *slot = bpf_map_lookup_elem(&mm_slots, &tgid);

	if (!slot || slot->start_ns != row->start_ns) {
		if (mm_watched(tgid))
			mm_slot_make(task, task->real_parent, mm, rss, session);
		return;
	}
	if (slot->session != session) {
		mm_slot_raise(mm, slot, rss);
		mm_slot_raise_by_mark(mm->hiwater_rss, slot);
		slot->taken = slot->peak;
		mm_moment_now(mm, rss, &slot->peak);
		slot->session = session;
		slot->known = 1;
	}
	row->peak_anon_bytes = (u64)slot->taken.anon << mm_page_shift;
	row->peak_file_bytes = (u64)slot->taken.file << mm_page_shift;
	row->peak_shmem_bytes = (u64)slot->taken.shmem << mm_page_shift;
	row->peak_virt_bytes = (u64)slot->taken.virt << mm_page_shift;
	row->peak_time_ns = slot->taken.time_ns;
	if (slot->known)
		row->flags |= MW_TASK_PEAK;
}

#endif
