/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iterpass - passes of the task iterator with peaks, for their cost; with a second argument they
 * are recorded as timelines of every process.
 *
 *	iterpass PASSES [timeline]
 */
#include <stdlib.h>

#include "probe/mm_probe.h"
#include "probe/proc_timeline.h"

static void on_event(void *arg, const struct mw_mm_ev *ev)
{
	proc_timeline__event(arg, ev);
}

int main(int argc, char **argv)
{
	struct mm_probe_opts o = {.peaks = true};
	const struct task_rows *rows;
	struct proc_timeline_opts to = {.external = 1, .all = 1, .max_rows = 512};
	struct proc_timeline *t = NULL;
	struct mm_probe *p;

	if (argc > 2 && proc_timeline__new(&to, &t))
		return 1;
	if (mm_probe__new(&o, &p) || *mm_probe__note(p))
		return 1;
	for (int n = atoi(argv[1]); n > 0; n--)
		if (mm_probe__pass(p, &rows) || (t && mm_probe__events(p, on_event, t) < 0) ||
		    (t && proc_timeline__rows(t, rows) < 0))
			return 1;
	mm_probe__free(p);
	return 0;
}
