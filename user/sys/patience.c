/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/patience.h"

#include "core/util.h"
#include "sys/proc_task.h"

void patience__begin(struct patience *p)
{
	p->heard_ns = util__now_ns();
}

void patience__look(struct patience *p, pid_t pid, uint64_t cpu_ns)
{
	if (pid <= 0 || cpu_ns > p->cpu_ns || proc_task__is_running(pid))
		patience__begin(p);
	p->cpu_ns = cpu_ns;
}

bool patience__is_used_up(const struct patience_share *s)
{
	return __atomic_load_n(&s->rested_ns, __ATOMIC_RELAXED) >=
	       s->most_ns + (util__now_ns() - s->since_ns) / s->part;
}

void patience__end(const struct patience *p, struct patience_share *s)
{
	__atomic_add_fetch(&s->rested_ns, util__now_ns() - p->heard_ns, __ATOMIC_RELAXED);
}
