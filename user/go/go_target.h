/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_target.h - one running Go program, opened for reading from outside: its executable, load bias,
 * function table, the layout of its runtime and the addresses of the runtime's variables.
 *
 * All of it is the target's own: this and what it is read with (go_heap.h, goroutines.h,
 * go_stacks.h) run in a helper without privileges (go_serve.h), which is handed descriptors and
 * knows no process by its number. Nothing in the target is changed or stopped.
 */
#ifndef GO_GO_TARGET_H
#define GO_GO_TARGET_H

#include "elf/gobin.h"
#include "go/layout.h"
#include "sys/procmem.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads the target's memory: exactly len bytes or a negative errno. */
struct go_reader {
	int (*read)(void *arg, uint64_t addr, void *buf, size_t len);
	void *arg;
};

struct go_map { /* an executable mapping of a file */
	uint64_t start, limit, offset;
	char *path;
};

/* How far it got; what failed there. */
enum go_stage {
	GO_STAGE_FILE, /* reading the executable */
	GO_STAGE_TABLES,
	GO_STAGE_LAYOUT, /* of the runtime's structs: the release is not known */
	GO_STAGE_PLACE,	 /* where it is loaded */
	GO_STAGE_MODULE,
	GO_STAGE_VARIABLES,
	GO_STAGE_RUNTIME, /* its values are not that release's */
	GO_STAGE_START,
	GO_STAGES, /* all is well */
};

/* What it is read from; borrowed while it is opened. */
struct go_source {
	int exe;	/* the executable */
	int mem;	/* who reads it: procmem__hand_over */
	int maps;	/* /proc/PID/maps */
	uint64_t entry; /* AT_ENTRY: where the program begins; 0: not known */
};

struct go_target {
	enum go_stage stage;
	struct procmem *mem;
	struct go_reader reader; /* uncached, on mem */
	struct elfobj *elf;
	struct gobin bin;
	const struct go_layout *layout;
	struct go_layout own_layout; /* from the program's debug information */
	uint64_t bias;		     /* address in the process minus the ELF's own */
	struct gobin_symbols sym;    /* in the process */
	uint64_t text, etext;	     /* in the process */
	uint64_t module;	     /* runtime.firstmoduledata, in the process */
	bool profiling_off_by_linker;
	struct go_map *maps;
	size_t nmaps;
};

/* True if the file is a Go program, whatever can be read of it. */
bool go_target__is_go(int exe);

/*
 * 0; -ESRCH; -ENOENT: not a Go program; -ENOTSUP: a Go release whose layout is not known, or
 * another machine; -EAGAIN: it has only just begun, and its runtime knows nothing yet; -EBADMSG:
 * its tables are damaged or its runtime does not look as it should (or it has begun so short a time
 * ago that its tables are not relocated). ret->stage tells where. ret is initialised by this call
 * and freed by go_target__close in every case.
 */
int go_target__open(const struct go_source *src, struct go_target *ret);
void go_target__close(struct go_target *t);

/* Reads the mappings again (libraries loaded meanwhile). *ret_changed: they are others. */
int go_target__read_maps(struct go_target *t, int fd, bool *ret_changed);

/* A field of one of the runtime's structs. 0 or a negative errno. */
int go_target__u64(const struct go_target *t, uint64_t base, uint32_t off, uint64_t *ret);
int go_target__u32(const struct go_target *t, uint64_t base, uint32_t off, uint32_t *ret);

/* Frames at an address of the process, as gotab__frame(s) but without the caller knowing the bias.
 */
bool go_target__frame(const struct go_target *t, uint64_t pc, struct gotab_frame *ret);
int go_target__frames(const struct go_target *t, uint64_t pc, struct gotab_frame *frames, int max);

#endif
