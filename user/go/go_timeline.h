/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_timeline.h - a Go program's MemStats over time, beside RSS and VIRT. CSV and JSON have the
 * columns of every timeline followed by the Go ones; pictures (.svg, .html) are made from `plain`,
 * which has those of every timeline, with the Go heap as the profiled one.
 */
#ifndef GO_GO_TIMELINE_H
#define GO_GO_TIMELINE_H

#include "go/memstats.h"
#include "model/timeline.h"

struct go_timeline_row {
	struct timeline_row base;
	struct go_memstats m;
	uint64_t goroutines;
};

struct go_timeline {
	struct timeline plain; /* for pictures */
	struct go_timeline_row *rows;
	size_t n, cap;
	uint32_t step, skipped; /* beyond GO_TIMELINE_MAX every step-th row is kept */
	int pid;
};

#define GO_TIMELINE_MAX 32768

void go_timeline__init(struct go_timeline *t, int pid, const char *comm);
void go_timeline__clear(struct go_timeline *t);
/* Takes a row now; 0 or a negative errno. */
int go_timeline__add(struct go_timeline *t, const struct go_memstats *m, uint64_t goroutines);
/* .csv and .json: 0, -EINVAL (another ending: pictures are of `plain`) or a negative errno of the
 * file system. */
int go_timeline__save(const struct go_timeline *t, const char *path);

#endif
