/* SPDX-License-Identifier: GPL-2.0-or-later */
/* go_timeline.h - a Go program's MemStats as the further columns of its timeline. */
#ifndef GO_GO_TIMELINE_H
#define GO_GO_TIMELINE_H

#include "go/memstats.h"
#include "model/timeline.h"

#define GO_TIMELINE_COLUMNS 17

/* "go_heap_alloc_bytes", … as timeline.more_name. Live for ever. */
extern const char *const go_timeline_names[GO_TIMELINE_COLUMNS];

void go_timeline__values(const struct go_memstats *m, uint64_t goroutines,
			 int64_t ret[GO_TIMELINE_COLUMNS]);

/* A timeline of the process with these columns, the Go heap as the profiled one; freed by
 * timeline__clear. */
void go_timeline__init(struct timeline *t, int pid, const char *comm);
/* Takes a row now; 0 or a negative errno. */
int go_timeline__add(struct timeline *t, const struct go_memstats *m, uint64_t goroutines);

#endif
