/* SPDX-License-Identifier: GPL-2.0-only */
/* alloc_call.h - what a call of an allocator asks for, by its row of MW_SIGNATURES. */
#ifndef BPF_ALLOC_CALL_H
#define BPF_ALLOC_CALL_H

#include "maps.h"
#include "memwatch/alloc.h"

static __always_inline u64 page_up(u64 size)
{
	return (size + 4095) & ~4095ULL;
}

/* Functions with a given property in their row of MW_SIGNATURES, one bit each. */
#define BIT_DOES(name, does, size, times, old, out) | (u64)(MW_DOES_##does == WANT) << MW_FN_##name
#define BIT_SIZE(name, does, size, times, old, out) | (u64)(size == WANT) << MW_FN_##name
#define BIT_TIMES(name, does, size, times, old, out) | (u64)(times == WANT) << MW_FN_##name
_Static_assert(MW_FN_COUNT <= 64, "one bit per function");
#define BIT_OLD(name, does, size, times, old, out) | (u64)(old == WANT) << MW_FN_##name
/* What is read below. */
#define IN_REACH(name, does, size, times, old, out)                                   \
	_Static_assert(old <= 2 && out <= 1 && size <= 3 && times <= 4 && times != 1, \
		       "an argument that nobody reads");
MW_SIGNATURES(IN_REACH)

static __always_inline bool fn_in(u64 set, u8 fn)
{
	return set >> (fn & 63) & 1;
}

static __always_inline bool does(u8 fn, enum mw_does what)
{
	switch (what) {
#define WANT MW_DOES_REALLOC
	case MW_DOES_REALLOC: return fn_in(0 MW_SIGNATURES(BIT_DOES), fn);
#undef WANT
#define WANT MW_DOES_RESIZE
	case MW_DOES_RESIZE: return fn_in(0 MW_SIGNATURES(BIT_DOES), fn);
#undef WANT
#define WANT MW_DOES_REALLOCF
	case MW_DOES_REALLOCF: return fn_in(0 MW_SIGNATURES(BIT_DOES), fn);
#undef WANT
#define WANT MW_DOES_THROW
	case MW_DOES_THROW: return fn_in(0 MW_SIGNATURES(BIT_DOES), fn);
#undef WANT
	default: return false;
	}
}

/* Does it give back or change a block that it is given? */
static __always_inline bool is_realloc(u8 fn)
{
	return does(fn, MW_DOES_REALLOC) || does(fn, MW_DOES_REALLOCF) || does(fn, MW_DOES_RESIZE);
}

/* a * b, or 0 beyond any address space: such a call fails. */
static __always_inline u64 product(u64 a, u64 b)
{
	u64 limit = b ? (1ULL << 47) / b : 0;

	barrier_var(limit); /* or clang makes a 128-bit multiplication of it */
	return a > limit ? 0 : a * b;
}

/* The block given back or changed; the first argument where there is none. */
static __always_inline u64 old_block(struct pt_regs *ctx, u8 fn)
{
	u64 a = PT_REGS_PARM1(ctx), b = PT_REGS_PARM2(ctx);

	barrier_var(a); /* two reads, not one through a chosen pointer */
	barrier_var(b);
#define WANT 2
	return fn_in(0 MW_SIGNATURES(BIT_OLD), fn) ? b : a;
#undef WANT
}

/* Bytes asked for. */
static __always_inline u64 requested(struct pt_regs *ctx, u8 fn)
{
	u64 a = PT_REGS_PARM1(ctx), b = PT_REGS_PARM2(ctx), c = PT_REGS_PARM3(ctx), size = a;
	u64 d = PT_REGS_PARM4(ctx);

#define WANT 2
	if (fn_in(0 MW_SIGNATURES(BIT_SIZE), fn))
		size = b;
#undef WANT
#define WANT 3
	if (fn_in(0 MW_SIGNATURES(BIT_SIZE), fn))
		size = c;
#undef WANT
#define WANT 2
	if (fn_in(0 MW_SIGNATURES(BIT_TIMES), fn))
		return product(b, size);
#undef WANT
#define WANT 3
	if (fn_in(0 MW_SIGNATURES(BIT_TIMES), fn))
		return product(c, size);
#undef WANT
#define WANT 4
	if (fn_in(0 MW_SIGNATURES(BIT_TIMES), fn))
		return product(d, size);
#undef WANT
	return fn == MW_FN_PVALLOC ? page_up(size) : size;
}

#endif
