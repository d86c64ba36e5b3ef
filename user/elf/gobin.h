/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gobin.h - a Go executable: is it one, which version, its function table, and where the
 * runtime's variables are, by the symbol table or, in stripped files, by disassembling the few
 * functions of the runtime that use them (x86-64).
 *
 * The file is untrusted. Addresses are the ELF's own; the caller adds the load bias.
 */
#ifndef ELF_GOBIN_H
#define ELF_GOBIN_H

#include "elf/elfobj.h"
#include "elf/gotab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Variables of the runtime. 0: not found. */
struct gobin_symbols {
	uint64_t mbuckets, mprof_cycle, mem_active_lock, mem_profile_rate, disable_mem_profiling;
	uint64_t memstats, gc_controller, work, runtime_init_time;
	uint64_t allgs, mheap;
	bool by_code; /* found by disassembly */
};

/* Offsets of fields that the disassembly sees; they depend on the version (see go/layout.h). */
struct gobin_code_layout {
	uint32_t gc_heap_live, gc_heap_in_use;			/* in gcController */
	uint32_t work_heap1, work_size;				/* in work */
	uint32_t ms_last_heap_in_use, ms_numforcedgc, ms_numgc; /* in memstats */
};

struct gobin {
	struct elfobj *elf; /* borrowed */
	char version[64];   /* "go1.19.8" */
	int minor;	    /* 19 */
	bool cgo;	    /* has code of C called through cgo */
	char *modinfo;	    /* owned; module and build settings, "" if none */
	struct gotab tab;
	uint64_t tab_vaddr;
	uint8_t *gofunc;   /* owned copy of go.func.* (see gobin__set_module) */
	uint8_t *tab_copy; /* owned, when the table is in no section */
};

/*
 * 0; -ENOENT: not a Go program; -ENOTSUP: Go, but older than 1.18 or with a function table of
 * unknown format; -EBADMSG: Go, but its tables are damaged. `version` is set in the last two
 * cases, too, as far as it could be read.
 */
int gobin__open(struct elfobj *elf, struct gobin *ret);
void gobin__close(struct gobin *g);

/* Only the recognition and version, which costs one look at the section table. True if Go. */
bool gobin__is_go(struct elfobj *elf, char version[64]);

/*
 * What only the loaded module knows: where text starts (Go 1.26 and later do not write it into the
 * table) and go.func.*, which holds the inline trees. 0 or -EBADMSG if they are not in the file.
 */
int gobin__set_module(struct gobin *g, uint64_t text, uint64_t gofunc_vaddr);

/* Entry of a function of the program by its full name; 0 if there is none. */
uint64_t gobin__func(const struct gobin *g, const char *name);

/* By .symtab; -ENOENT if the file is stripped of (any of) them. */
int gobin__symbols(struct gobin *g, struct gobin_symbols *ret);
/*
 * By disassembly; -ENOTSUP on other machines; -ENOENT if a pattern is not there or two ways to
 * the same address disagree. What belongs to features that are absent (profiling disabled by the
 * linker) stays 0.
 */
int gobin__symbols_by_code(struct gobin *g, const struct gobin_code_layout *l,
			   struct gobin_symbols *ret);

/*
 * A uprobe site for a function's entry: an instruction that is no 5-byte nop. File offset in
 * *ret_off. 0 or -ENOENT.
 */
int gobin__probe_site(const struct gobin *g, const char *func, uint64_t *ret_off);

#endif
