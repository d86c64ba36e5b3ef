/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_serve.h - what a helper (sys/box.h) that reads one Go program is asked and answers. Its
 * tables are the file's, its records the target's memory: both an attacker's, as far as the side
 * that asks is concerned (go_client.h).
 */
#ifndef GO_GO_SERVE_H
#define GO_GO_SERVE_H

#include "go/go_target.h"
#include "go/goroutines.h"
#include "go/memstats.h"

#include <stdbool.h>
#include <stdint.h>

#define GO_GC_SITE "runtime.mProf_Flush" /* where a GC cycle ends */
#define GO_MAX_ANSWER_BYTES ((size_t)64 << 20)

enum go_op {
	GO_IS_GO = 1,  /* fds: executable. Result 1 or 0 */
	GO_OPEN,       /* fds: executable, who reads the memory, maps; data: entry. Answer: struct
			  go_facts */
	GO_HEAP,       /* fds: where to, maps (-1: as before). Answer: struct go_heap_facts */
	GO_MEMSTATS,   /* data: struct go_wanted. Answer: struct go_numbers */
	GO_GOROUTINES, /* fds: where to. Answer: struct go_goroutines_count */
};

/* What opening has found; with a negative result only stage and version. */
struct go_facts {
	uint32_t stage; /* enum go_stage */
	int32_t minor;
	char version[64];
	uint32_t cgo, profiling_off_by_linker; /* 0 or 1 */
	struct go_layout layout;
	struct gobin_symbols sym; /* in the process */
	uint64_t gc_site;	  /* offset in the file; 0: none */
};

struct go_heap_facts {
	uint64_t rate;
	uint32_t before_gc, torn, tries, damaged;
};

struct go_wanted {
	uint32_t goroutines;
};

struct go_numbers {
	struct go_memstats memstats; /* without what the kernel tells */
	struct go_goroutines_count goroutines;
	uint32_t have_goroutines;
};

struct box_conn;
struct box_request;
void go_serve__serve(struct box_conn *c, struct box_request *r);

#endif
