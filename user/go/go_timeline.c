/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_timeline.h"

#include "core/util.h"
#include "sys/proc_task.h"

#define MAX_ROWS 32768

const char *const go_timeline_names[GO_TIMELINE_COLUMNS] = {"go_heap_alloc_bytes",
							    "go_heap_sys_bytes",
							    "go_heap_inuse_bytes",
							    "go_heap_idle_bytes",
							    "go_heap_released_bytes",
							    "go_stack_inuse_bytes",
							    "go_stack_sys_bytes",
							    "go_sys_bytes",
							    "go_total_alloc_bytes",
							    "go_mallocs",
							    "go_frees",
							    "go_next_gc_bytes",
							    "go_pause_total_ns",
							    "go_num_gc",
							    "go_goroutines",
							    "go_gogc",
							    "go_memlimit_bytes"};

void go_timeline__values(const struct go_memstats *m, uint64_t goroutines,
			 int64_t ret[GO_TIMELINE_COLUMNS])
{
	const uint64_t counts[] = {m->heap_alloc,     m->heap_sys,    m->heap_inuse, m->heap_idle,
				   m->heap_released,  m->stack_inuse, m->stack_sys,  m->sys,
				   m->total_alloc,    m->mallocs,     m->frees,	     m->next_gc,
				   m->pause_total_ns, m->num_gc,      goroutines};
	size_t n = ARRAY_SIZE(counts);

	for (size_t i = 0; i < n; i++)
		ret[i] = (int64_t)counts[i];
	ret[n] = m->gogc;
	ret[n + 1] = m->gomemlimit == GO_NO_MEMORY_LIMIT ? TIMELINE_UNKNOWN : m->gomemlimit;
}

void go_timeline__init(struct timeline *t, int pid, const char *comm)
{
	timeline__init(t, (uint32_t)pid, comm, MAX_ROWS);
	t->more_name = go_timeline_names;
	t->nmore = GO_TIMELINE_COLUMNS;
}

int go_timeline__add(struct timeline *t, const struct go_memstats *m, uint64_t goroutines)
{
	struct timeline_row row = timeline__row(util__steady_ms());
	int64_t more[GO_TIMELINE_COLUMNS];
	struct mw_task_row task;

	go_timeline__values(m, goroutines, more);
	row.more = more;
	row.value[TIMELINE_VIRT] = (int64_t)m->virt;
	row.value[TIMELINE_RSS] = (int64_t)m->rss;
	if (proc_task__read((pid_t)t->pid, &task) == 0) {
		row.value[TIMELINE_RSS_ANON] = (int64_t)task.anon_bytes;
		row.value[TIMELINE_RSS_FILE] = (int64_t)task.file_bytes;
		row.value[TIMELINE_RSS_SHMEM] = (int64_t)task.shmem_bytes;
		row.value[TIMELINE_SWAP] = (int64_t)task.swap_bytes;
	}
	row.value[TIMELINE_INUSE] = (int64_t)m->heap_alloc;
	row.value[TIMELINE_ALLOC] = (int64_t)m->total_alloc;
	return timeline__append(t, &row);
}
