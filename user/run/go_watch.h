/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_watch.h - watches one Go program until it ends, a time is over or a signal comes: heap profile
 * snapshots, MemStats, GC trace, goroutines, timeline. Nothing is injected, nothing is stopped.
 */
#ifndef RUN_GO_WATCH_H
#define RUN_GO_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct go_watch_opts {
	int pid;
	const char *const *outputs; /* profile files; the ending picks the format */
	size_t noutputs;
	const char *timeline;	  /* NULL: none */
	const char *sample_index; /* NULL: inuse_space */
	bool goroutines;	  /* the profile is that of the goroutines */
	bool gctrace, memstats, json;
	bool enable_memprofile; /* write the profiling rate into the target */
	bool once;		/* one look, then end */
	uint64_t duration_ns;	/* 0: no limit */
	uint64_t interval_ns;
};

/*
 * Runs to its end; data on stdout, messages on stderr. Returns an enum mw_exit. Installs no signal
 * handlers: SIGINT, SIGTERM and SIGUSR1 are blocked meanwhile and taken from a descriptor.
 */
int go_watch__run(const struct go_watch_opts *o);

#endif
