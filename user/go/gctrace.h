/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gctrace.h - what GODEBUG=gctrace=1 prints, for a program that was started without it.
 *
 * Decoding and formatting are pure; go_gctrace (below) is the probe that feeds them.
 */
#ifndef GO_GCTRACE_H
#define GO_GCTRACE_H

#include "go/layout.h"
#include "go/go_program.h"
#include "memwatch/gotrace.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct go_cycle { /* one GC cycle; times in ns, sizes in bytes */
	uint32_t number;
	int64_t start_ns; /* since the program's runtime was initialised; -1: unknown */
	double cpu_fraction;
	int64_t sweep_term_ns, mark_ns, mark_term_ns; /* wall clock: STW, concurrent, STW */
	int64_t sweep_term_cpu_ns, assist_cpu_ns, background_cpu_ns, idle_cpu_ns, mark_term_cpu_ns;
	uint64_t heap_start, heap_end, heap_live, goal, stacks, globals;
	uint32_t procs;
	bool forced;
};

/* Which parts of the runtime's structs the probe copies. 0 or -ENOTSUP (layout too large). */
int go_gctrace__config(const struct go_layout *l, const struct gobin_symbols *sym,
		       struct mw_go_config *ret);

/* Decodes a record. init_ns: runtime.runtimeInitTime, 0 if unknown. */
void go_gctrace__decode(const struct go_layout *l, const struct mw_go_cycle *raw, int64_t init_ns,
			struct go_cycle *ret);

/* One line as the runtime prints it (without newline); its length. */
int go_gctrace__format(const struct go_cycle *c, char *buf, size_t len);
/* One JSON object, schema memwatch.gogc/1, and a newline. */
void go_gctrace__print_json(FILE *f, int pid, int64_t time_unix_ms, const struct go_cycle *c);

/* The probe on one running program. */
struct go_gctrace;
/* fn is called for each cycle from go_gctrace__poll. 0 or a negative errno with a reason in why. */
int go_gctrace__attach(const struct go_program *t, void (*fn)(void *arg, const struct go_cycle *c),
		       void *arg, struct go_gctrace **ret, char why[GO_WHY_LEN]);
void go_gctrace__detach(struct go_gctrace *g); /* accepts NULL */
/* Handles what is there. Number of cycles or a negative errno. Nothing wakes the reader: that would
 * cost the target more than the probe. The buffer holds over 100 cycles: look in several times a
 * second. */
int go_gctrace__poll(struct go_gctrace *g);
/* Cycles seen, and lost because nobody read them in time or their data could not be read. */
void go_gctrace__books(const struct go_gctrace *g, uint64_t *seen, uint64_t *lost);

#endif
