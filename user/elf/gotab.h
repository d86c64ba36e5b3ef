/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gotab.h - Go's own function table (.gopclntab, Go 1.18 and later): functions, source lines,
 * inlined calls, frame sizes. It survives stripping, because the runtime itself needs it.
 *
 * Pure: works on borrowed bytes that may be hostile; every offset is checked. Addresses are those
 * that the table's `text` is given in (the ELF's own addresses; the caller removes a load bias).
 */
#ifndef ELF_GOTAB_H
#define ELF_GOTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOTAB_MAX_INLINE 256 /* depth of inlining that is followed */

enum gotab_format { GOTAB_118 = 118, GOTAB_120 = 120 };

struct gotab {
	const uint8_t *p; /* borrowed */
	size_t len;
	enum gotab_format format;
	uint8_t min_lc;
	uint64_t text; /* address that function entries are relative to; 0: not known yet */
	uint32_t nfunc;
	size_t names, cus, files, pcs, funcs; /* offsets of the sub-tables */
	const uint8_t *gofunc; /* go.func.*: inline trees; borrowed, NULL: inlines unknown */
	size_t gofunc_len;
};

struct gotab_func {
	uint32_t off;	     /* of its record in the table */
	uint64_t entry, end; /* code, [entry, end) */
	const char *name;
	int32_t start_line; /* 0 before Go 1.20 */
	uint8_t id, flag;
	uint32_t npcdata, nfuncdata;
};

#define GOTAB_FLAG_TOP_FRAME 1
#define GOTAB_FLAG_SP_WRITE 2

struct gotab_frame {
	const char *name, *file; /* never NULL: "?" where unknown */
	int32_t line, start_line;
	uint64_t entry;	    /* of the real function that the code is in */
	uint64_t return_pc; /* what a Go traceback reports for this frame: the call's address + 1 */
	uint8_t func_id;
	bool inlined; /* into the next frame */
};

/*
 * Reads the header. `text` overrides the header's text start (Go 1.26 and later store 0 there);
 * 0 takes what the header has. 0; -ENOEXEC: no such table; -ENOTSUP: an older or unknown format;
 * -EBADMSG: damaged.
 */
int gotab__open(const uint8_t *p, size_t len, uint64_t text, struct gotab *ret);

/* The i-th function in order of address; the one that holds pc; the one called name (linear). */
int gotab__func_at(const struct gotab *t, uint32_t i, struct gotab_func *ret);
int gotab__func_of(const struct gotab *t, uint64_t pc, struct gotab_func *ret);
int gotab__func_named(const struct gotab *t, const char *name, struct gotab_func *ret);

/*
 * The frames at the instruction `pc` (for a return address: one less), innermost inlined function
 * first, the real one last. Returns how many were written (at most max), 0: no function there.
 */
int gotab__frames(const struct gotab *t, uint64_t pc, struct gotab_frame *frames, int max);

/* Only the innermost: what runtime.FuncForPC and CallersFrames give for one address. */
bool gotab__frame(const struct gotab *t, uint64_t pc, struct gotab_frame *ret);

/* Bytes between the stack pointer at pc and the return address. 0 or -ENOENT/-EBADMSG. */
int gotab__sp_delta(const struct gotab *t, const struct gotab_func *f, uint64_t pc, int32_t *ret);

/* Number of the function's id for "compiler-made wrapper" in this Go version (minor), and of the
 * panic functions that keep wrappers visible. */
bool gotab__is_wrapper(int minor, uint8_t func_id);
bool gotab__shows_wrapper(int minor, uint8_t callee_id);

#endif
