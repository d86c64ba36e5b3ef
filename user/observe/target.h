/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * target.h - one observed process as others see it. Read only, owned by the observer; valid until
 * observer__remove_target or observer__free.
 */
#ifndef OBSERVE_TARGET_H
#define OBSERVE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memwatch/mm.h"
#include "sys/box.h"

struct target {
	int pid;
	uint32_t index; /* of its counters, its heap and its pages */
	char comm[16];
	char *cmdline;	   /* NULL: no memory for it */
	uint64_t start_ns; /* when it was added, CLOCK_MONOTONIC */
	uint64_t born_ns;  /* when the process was started, CLOCK_BOOTTIME in clock ticks; 0: not
			      known */
	int64_t start_unix_ms;
	uint32_t images; /* programs it has run: goes up at exec */
	bool ended;
	bool child;		   /* came in by following another target */
	bool chosen;		   /* came in because it was wanted (observer_opts.wants) */
	size_t nprobes, nfiles;	   /* allocator probes, and the files that they are in */
	size_t nfast;		   /* allocators that are sampled by stubs inside them */
	bool samples_itself;	   /* and tells of it by USDT probes: those are used (elf/usdt.h) */
	bool is_read_on;	   /* allocators may be found yet: files are still being read */
	size_t nmaps;		   /* executable mappings known now */
	struct box_target account; /* on which its files are read */
	/* its memory at start_ns, with observer_opts.first_rows; tgid 0: not known */
	struct mw_task_row first;
};

#endif
