/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * site.h - where in a function to put a uprobe.
 *
 * The kernel emulates a few instructions (pushes, relative jumps and calls); any other is
 * single-stepped out of line, which costs twice as much on bare metal and tens of times as much
 * in a virtual machine. So the function's first instructions are decoded, and the probe goes to
 * the first emulated one that every call passes with the arguments still in their registers and
 * the stack pointer untouched (so that a return probe finds the return address). Never on a
 * 5-byte nop: kernels that optimise these crash forked children (Linux 6.18).
 */
#ifndef ELF_SITE_H
#define ELF_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/allocs.h"
#include "elf/elfobj.h"
#include "elf/layer.h"

#define SITE_CALLERS 16

enum site_kind {
	SITE_EMULATED, /* the kernel emulates the instruction */
	SITE_STEPPED,  /* single-stepped: slower, as correct */
	SITE_NONE,     /* no place for a probe */
};

/* site.why of a function whose code contradicts the signature that its name suggests. */
#define SITE_OTHER_ARGUMENTS "its arguments are not those of the function it is named after"

struct site {
	struct alloc_func func;
	uint64_t vaddr, off; /* of the probed instruction; off is the file offset */
	enum site_kind kind;
	char insn[200];	   /* as text */
	const char *why;   /* one phrase: why not emulated, or "" */
	bool unproved;	   /* its name is all that it has of an allocator: not probed */
	bool wrapper;	   /* only passes the call on to another function of the list: not probed */
	char calls[64];	   /* that function's name */
	bool calls_family; /* calls others of this list (glibc's realloc calls malloc) */
	bool null_goes_on; /* realloc: a NULL block goes on to malloc by a jump */
	uint32_t align_goes_on; /* memalign: so do alignments up to this; 0: none */
	/* Functions of this list that call this one, relative to vaddr: see struct mw_site. */
	size_t ncallers;
	struct {
		int64_t lo, hi;
	} caller[SITE_CALLERS];
	/* The file may lie over other allocators (elf/layer.h): its code, relative to vaddr. */
	size_t nlayer;
	struct {
		int64_t lo, hi;
	} layer[LAYER_RANGES];
};

/*
 * Chooses a site for each function. *ret is malloc'ed, one entry per function, in their order.
 * 0, -EOPNOTSUPP (machine not supported), -ENOMEM.
 */
int site__choose(struct elfobj *e, const struct alloc_func *funcs, size_t n, struct site **ret);

#endif
