/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_target.h - one running Go program, opened for reading from outside: its executable, load bias,
 * function table, the layout of its runtime and the addresses of the runtime's variables.
 *
 * Nothing in the target is changed or stopped. One thread at a time.
 */
#ifndef GO_GO_TARGET_H
#define GO_GO_TARGET_H

#include "elf/gobin.h"
#include "go/layout.h"
#include "model/profile.h"
#include "sys/procmem.h"

#include <stdbool.h>
#include <stdint.h>

#define GO_WHY_LEN 320

/* Reads the target's memory: exactly len bytes or a negative errno. */
struct go_reader {
	int (*read)(void *arg, uint64_t addr, void *buf, size_t len);
	void *arg;
};

struct go_map { /* an executable mapping of a file */
	uint64_t start, limit, offset;
	char *path;
};

struct go_target {
	int pid;
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
	char exe[4096];
	char comm[17];
	char cmdline[1024];
};

/* True if the process runs a Go program; version as in the file ("" if unreadable). */
bool go_target__is_go(int pid, char version[64]);

/*
 * 0; -ESRCH; -EACCES; -ENOENT: not a Go program; -ENOTSUP: a Go release whose layout is not known,
 * or another machine; -EBADMSG: its tables are damaged or its runtime does not look as it should.
 * `why` gets one sentence in each of these cases.
 */
int go_target__open(int pid, struct go_target **ret, char why[GO_WHY_LEN]);
void go_target__close(struct go_target *t); /* accepts NULL */

/* Reads the mappings again (libraries loaded meanwhile). */
int go_target__refresh_maps(struct go_target *t);

/* A field of one of the runtime's structs. 0 or a negative errno. */
int go_target__u64(const struct go_target *t, uint64_t base, uint32_t off, uint64_t *ret);
int go_target__u32(const struct go_target *t, uint64_t base, uint32_t off, uint32_t *ret);

/* Frames at an address of the process, as gotab__frame(s) but without the caller knowing the bias.
 */
bool go_target__frame(const struct go_target *t, uint64_t pc, struct gotab_frame *ret);
int go_target__frames(const struct go_target *t, uint64_t pc, struct gotab_frame *frames, int max);

/* Fills what every profile of this process carries: pid, comm, cmdline, time. */
int go_target__describe(const struct go_target *t, struct profile *p);

#endif
