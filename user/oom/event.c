/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/event.h"

#include <stdio.h>
#include <string.h>

void oom_event__init(struct oom_event *e)
{
	memset(e, 0, sizeof(*e));
	e->seq = e->first_seq = OOM_UNKNOWN;
	e->limit_bytes = e->usage_bytes = OOM_UNKNOWN;
	e->swap_limit_bytes = e->swap_usage_bytes = OOM_UNKNOWN;
	e->memsw_limit_bytes = e->memsw_usage_bytes = OOM_UNKNOWN;
	e->mem_total_bytes = e->mem_free_bytes = OOM_UNKNOWN;
	e->mem_available_bytes = OOM_UNKNOWN;
	e->swap_total_bytes = e->swap_free_bytes = e->boot_us = OOM_UNKNOWN;
	e->has_time = true;
	cgroup_stat__init(&e->stat);
	for (struct oom_proc *p = &e->victim; p; p = p == &e->victim ? &e->trigger : NULL) {
		p->uid = UINT32_MAX;
		p->total_vm_bytes = p->anon_rss_bytes = p->file_rss_bytes = OOM_UNKNOWN;
		p->shmem_rss_bytes = p->swap_bytes = p->pgtables_bytes = OOM_UNKNOWN;
	}
}

static void take(uint64_t *to, uint64_t v)
{
	if (v != KMSG_NONE)
		*to = v;
}

static uint64_t log_limit(uint64_t v)
{
	return v != KMSG_NONE && v >= (uint64_t)INT64_MAX / 4096 * 4096 - (1 << 20) ? OOM_NO_LIMIT
										    : v;
}

void oom_event__from_log(struct oom_event *e, const struct kmsg_kill *k)
{
	bool alone = !(e->from & OOM_FROM_PROBE);
	uint64_t pgtables = KMSG_NONE;

	e->from |= OOM_FROM_KMSG;
	e->seq = k->seq;
	e->is_group = k->is_group;
	e->signal = 9;
	e->no_victim = k->no_victim;
	e->chosen_pid = k->chosen_pid != k->pid ? k->chosen_pid : 0;
	e->has_order = k->has_order;
	e->order = k->order;
	e->constraint = k->constraint;
	e->has_constraint = k->has_constraint;
	if (k->constraint != OOM_CONSTRAINT_MEMCG)
		e->memcg[0] = 0;
	if (k->oom_memcg[0] && strcmp(e->memcg, k->oom_memcg)) {
		e->limit_bytes = e->usage_bytes = OOM_UNKNOWN;
		snprintf(e->memcg, sizeof(e->memcg), "%s", k->oom_memcg);
	}
	if (alone) {
		e->victim.tid = e->victim.pid = k->pid;
		e->victim.uid = k->uid;
		e->victim.oom_score_adj = k->has_adj ? k->oom_score_adj : OOM_NO_ADJ;
		e->victim.swap_bytes = OOM_UNKNOWN;
		snprintf(e->victim.comm, OOM_COMM, "%s", k->comm);
		snprintf(e->victim.cgroup, OOM_PATH, "%s", k->task_memcg);
		e->trigger.pid = e->trigger.tid = k->trigger_pid;
		snprintf(e->trigger.comm, OOM_COMM, "%s", k->trigger_comm);
		e->trigger.total_vm_bytes = e->trigger.anon_rss_bytes = OOM_UNKNOWN;
		if (k->no_victim)
			e->signal = 0;
		for (size_t i = 0; i < k->ntasks; i++) {
			if (k->tasks[i].pid != k->pid)
				continue;
			e->victim.swap_bytes = k->tasks[i].swap_bytes;
			pgtables = k->tasks[i].pgtables_bytes;
		}
	}
	take(&e->victim.total_vm_bytes, k->total_vm_bytes);
	take(&e->victim.anon_rss_bytes, k->anon_rss_bytes);
	take(&e->victim.file_rss_bytes, k->file_rss_bytes);
	take(&e->victim.shmem_rss_bytes, k->shmem_rss_bytes);
	if (alone)
		e->victim.pgtables_bytes =
			k->pgtables_bytes != KMSG_NONE ? k->pgtables_bytes : pgtables;
	/* Usage before the kill, as the report has it: the probe's is from after it was written. */
	take(&e->usage_bytes, k->usage_bytes);
	take(&e->limit_bytes, log_limit(k->limit_bytes));
	take(&e->swap_usage_bytes, k->swap_usage_bytes);
	take(&e->swap_limit_bytes, log_limit(k->swap_limit_bytes));
	take(&e->memsw_usage_bytes, k->memsw_usage_bytes);
	take(&e->memsw_limit_bytes, log_limit(k->memsw_limit_bytes));
	if (k->free_bytes != KMSG_NONE)
		e->free_from_kernel = true;
	take(&e->mem_free_bytes, k->free_bytes);
	take(&e->mem_total_bytes, k->total_bytes);
	take(&e->swap_free_bytes, k->swap_free_bytes);
	take(&e->swap_total_bytes, k->swap_total_bytes);
	if (k->has_stat) {
		e->stat = k->stat;
		e->has_stat = e->stat_from_kernel = true;
	}
	if (k->ntasks) {
		memcpy(e->tasks, k->tasks, sizeof(e->tasks));
		e->ntasks = k->ntasks;
		e->tasks_from_kernel = true;
	}
}
