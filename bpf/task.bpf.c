// SPDX-License-Identifier: GPL-2.0-only
/*
 * task.bpf.c - every process's memory figures in one pass (task iterator).
 *
 * One row (struct mw_task_row) a process, written to the iterator's file. The iterator visits
 * threads; rows come from group leaders, or, where the leader has ended before the others, from
 * each thread that still has the address space: userspace keeps one of them.
 *
 * The task is pinned by the iterator, its mm is not. A task drops its pointer to the mm before its
 * reference, so if the pointer is the same after reading, what was read was this task's mm.
 */
#include "kernel.h"
#include "mmstat.h"
#include "mmslot.h"
#include "memwatch/mm.h"

const volatile unsigned int mm_nr_cpus = 1;
const volatile unsigned int mm_page_shift = 12;
const volatile bool task_iter_kthreads = false;
const volatile bool task_iter_peaks = false;

static __always_inline void read_mm(u64 session, struct task_struct *task, struct mm_struct *mm,
				    struct mw_task_row *row)
{
	struct mm_rss rss = {};
	u64 now;

	if (!mm_read_rss(mm, &rss))
		row->flags |= MW_TASK_APPROX;
	row->file_bytes = (u64)rss.pages[MM_FILEPAGES] << mm_page_shift;
	row->anon_bytes = (u64)rss.pages[MM_ANONPAGES] << mm_page_shift;
	row->swap_bytes = (u64)rss.pages[MM_SWAPENTS] << mm_page_shift;
	row->shmem_bytes = (u64)rss.pages[MM_SHMEMPAGES] << mm_page_shift;
	row->virt_bytes = mm->total_vm << mm_page_shift;
	row->locked_bytes = mm->locked_vm << mm_page_shift;
	row->pgtables_bytes = mm->pgtables_bytes.counter;
	row->hiwater_rss_bytes = mm->hiwater_rss << mm_page_shift;
	row->hiwater_virt_bytes = mm->hiwater_vm << mm_page_shift;
	now = row->file_bytes + row->anon_bytes + row->shmem_bytes;
	if (row->hiwater_rss_bytes < now)
		row->hiwater_rss_bytes = now;
	if (row->hiwater_virt_bytes < row->virt_bytes)
		row->hiwater_virt_bytes = row->virt_bytes;
	row->mm = (u64)mm;
	if (task->mm != mm)
		row->flags |= MW_TASK_TORN;
	else if (task_iter_peaks)
		mm_slot_take_peak(session, task, mm, &rss, row);
}

SEC("?iter/task")
int mw_task_rows(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct mw_task_row row = {};
	struct mm_struct *mm;

	if (!task)
		return 0;
	if (!ctx->meta->seq_num)
		mm_learn_percpu();
	mm = task->mm;
	if (task->pid != task->tgid) {
		/* A live thread of a leader that is gone: the process still has its memory. */
		if (task->group_leader->mm || !mm)
			return 0;
	}
	if (task->flags & PF_KTHREAD) {
		if (!task_iter_kthreads)
			return 0;
		row.flags |= MW_TASK_KTHREAD;
		mm = NULL; /* what it borrows is not its own */
	}
	row.tgid = task->tgid;
	row.ppid = task->real_parent->tgid;
	row.uid = task->cred->euid.val;
	row.oom_score_adj = task->signal->oom_score_adj;
	row.nr_threads = task->signal->nr_threads;
	row.start_ns = task->group_leader->start_boottime;
	row.cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	bpf_probe_read_kernel_str(row.comm, sizeof(row.comm), task->group_leader->comm);
	if (mm)
		read_mm(ctx->meta->session_id, task, mm, &row);
	else
		row.flags |= MW_TASK_NO_MM;
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}
