/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
/*
 * unwind_step.h - one step up a stack: the registers of the caller from those of the callee and a
 * row of the table. The kernel side (unwind.bpf.c) and the walker of copied stacks in userspace
 * compile the same text, so that both find the same stack.
 *
 * A walk is named by a walk_t: the number of a slot in the kernel, where these are global functions
 * that the verifier looks at once each; a pointer in userspace. Who includes this defines before:
 *
 * - WALK_PART: how the functions are linked;
 * - struct mw_walk *walk_state(walk_t w): its state, NULL if there is none;
 * - int walk_enter(walk_t w, u64 pc): mapping and table of pc into the state, or why not;
 * - u64 walk_row(st, w, u64 off): the row that holds at a file offset, 0: none;
 * - int walk_words(st, u32 i, u64 ret[2]): two words of the table; 0 or -1;
 * - int walk_read(st, void *dst, u32 n, u64 at): n bytes of the process; 0 or not readable;
 * - bool walk_stack(st, u64 at, u64 *ret): a word of its stack;
 * - u64 walk_reg(st, u32 i): the interrupted code's pt_regs, word i;
 * - u32 walk_code_words(walk_t w, u64 pc): as jvm_frame_words (memwatch/jvm.h);
 * - u64 walk_replaced(walk_t w, u64 at): return address that a return probe replaced;
 * - int walk_frame(walk_t w, u32 n, u64 pc): keeps frame n; not 0: no room.
 */
#ifndef BPF_UNWIND_STEP_H
#define BPF_UNWIND_STEP_H

#include "memwatch/jvm.h"
#include "memwatch/unwind_row.h"
#include "memwatch/wire.h"

#define JUMP_LIMIT (1 << 20) /* a frame pointer further away than this is not one */

/* x86-64: where the kernel's signal frame keeps the interrupted registers, from the handler's CFA.
 */
#define UC_GREGS 40
#define GREG_RBP 10
#define GREG_RSP 15
#define GREG_RIP 16
#define DWARF_RBP 6
#define DWARF_RSP 7
#define GO_STACK_HI 8 /* in runtime.g, in every version: stack.lo, stack.hi */

enum mw_walk_kind {
	KIND_NONE = 0,
	KIND_TABLE,   /* a file with a table */
	KIND_NOTABLE, /* a file known to have none */
	KIND_ANON,    /* no file: JIT code */
};

/* Where a walk is. */
struct mw_walk {
	u64 pc, sp, fp;
	u64 start, end, bias; /* mapping of the last look-up; file offset = address + bias */
	u64 gregs;	      /* user address of a signal frame's registers, 0: the task's own */
	u64 trampoline;	      /* of return probes, 0 if the process has none */
	struct mw_unwind_file file;
	u32 kind;    /* enum mw_walk_kind of the mapping */
	u32 exact;   /* pc is where execution is, not a return address: registers are known */
	u32 n;	     /* frames so far */
	u32 cause;   /* enum mw_stack_end */
	u32 guessed; /* why a frame pointer had to be trusted; 0: every step so far was by a rule */
	u32 pad;
};

#endif /* the part below exists for those who walk */
#if defined(WALK_PART) && !defined(BPF_UNWIND_STEP_PARTS)
#define BPF_UNWIND_STEP_PARTS

/* A register of the interrupted code by its DWARF number, 0 if unknown: all but the stack and the
 * frame pointer are known in the exact frame only. */
WALK_PART u64 unwind_reg(walk_t w, u32 reg)
{
	struct mw_walk *st = walk_state(w);
	/* DWARF number → index in struct pt_regs (r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx
	 * rsi rdi … rsp at 19) and in the signal frame's gregs (r8…r15 rdi rsi rbp rbx rdx rax rcx
	 * rsp). */
	u32 in_regs, in_gregs;
	u64 v;

	if (!st)
		return 0;
	if (reg == DWARF_RBP)
		return st->fp;
	if (reg == DWARF_RSP)
		return st->sp;
	if (!st->exact)
		return 0;
	switch (reg) {
	case 0:
		in_regs = 10;
		in_gregs = 13;
		break;
	case 1:
		in_regs = 12;
		in_gregs = 12;
		break;
	case 2:
		in_regs = 11;
		in_gregs = 14;
		break;
	case 3:
		in_regs = 5;
		in_gregs = 11;
		break;
	case 4:
		in_regs = 13;
		in_gregs = 9;
		break;
	case 5:
		in_regs = 14;
		in_gregs = 8;
		break;
	default:
		if (reg > 15)
			return 0;
		in_gregs = reg - 8;
		in_regs = reg < 12 ? 17 - reg : 15 - reg; /* r8…r11: 9…6, r12…r15: 3…0 */
		break;
	}
	if (!st->gregs)
		return walk_reg(st, in_regs);
	return walk_read(st, &v, 8, st->gregs + 8 * in_gregs) ? 0 : v;
}

static __always_inline int stop(struct mw_walk *st, u32 cause)
{
	st->cause = cause;
	return 1;
}

/*
 * Leaves the frame: its caller is at pc (read from `at`) with the given stack and frame pointer.
 * 1: the end. A zero return address ends the stacks of threads that were started by hand; but where
 * a frame pointer was guessed it may be any word, and is no proof of the root.
 */
static __always_inline int leave(struct mw_walk *st, walk_t w, u64 pc, u64 at, u64 sp, u64 fp)
{
	if (pc && pc == st->trampoline)
		pc = walk_replaced(w, at);
	if (!pc)
		return stop(st, st->guessed);
	st->cause = MW_STACK_OK;
	st->pc = pc;
	st->sp = sp;
	st->fp = fp;
	st->exact = 0;
	return 0;
}

static __always_inline int step_pair(struct mw_walk *st, walk_t w)
{
	u64 fp = st->fp, pair[2];

	if (walk_read(st, pair, sizeof(pair), fp))
		return stop(st, MW_STACK_READ_FAULT);
	return leave(st, w, pair[1], fp + 8, fp + 16, pair[0]);
}

/* Code without a table: trust the frame pointer if it looks like one. */
static __always_inline int step_fp(struct mw_walk *st, walk_t w, u32 cause)
{
	u64 fp = st->fp;

	/* Zero is the ABI's mark of the outermost frame, but also any number that code without a
	 * frame pointer keeps in the register: not to be taken for the root. */
	if (fp & 7 || fp < st->sp || fp - st->sp > JUMP_LIMIT)
		return stop(st, cause);
	st->guessed = cause;
	return step_pair(st, w);
}

WALK_PART int unwind_signal(walk_t w)
{
	struct mw_walk *st = walk_state(w);
	u64 gregs, fp, rsp_rip[2];

	if (!st)
		return 1;
	gregs = st->sp + UC_GREGS;
	if (walk_read(st, &fp, 8, gregs + 8 * GREG_RBP) ||
	    walk_read(st, rsp_rip, 16, gregs + 8 * GREG_RSP))
		return stop(st, MW_STACK_READ_FAULT);
	if (leave(st, w, rsp_rip[1], 0, rsp_rip[0], fp))
		return 1;
	st->exact = 1;
	st->gregs = gregs;
	return 0;
}

/*
 * Go has called C (runtime.asmcgocall): C runs on the thread's own stack, where the goroutine and
 * how deep its stack was are noted; the caller is on that stack. Without a goroutine the stack was
 * the thread's already, and the place of the depth holds the stack pointer. `where`: words above
 * the stack pointer, of the goroutine in the low byte, of the depth in the high.
 */
WALK_PART int unwind_go_call(walk_t w, u32 where)
{
	struct mw_walk *st = walk_state(w);
	u64 g, sp, hi = 0, ra;

	if (!st)
		return 1;
	if (walk_read(st, &g, 8, st->sp + 8 * (where & 0xff)) ||
	    walk_read(st, &sp, 8, st->sp + 8 * (where >> 8 & 0xff)))
		return stop(st, MW_STACK_READ_FAULT);
	if (g) {
		if (walk_read(st, &hi, 8, g + GO_STACK_HI))
			return stop(st, MW_STACK_READ_FAULT);
		sp = hi - sp;
	}
	if (walk_read(st, &ra, 8, sp))
		return stop(st, MW_STACK_READ_FAULT);
	return leave(st, w, ra, sp, sp + 8, st->fp);
}

/* A value described by a side entry, 0 if it cannot be had. */
WALK_PART u64 unwind_value(walk_t w, u32 from, u32 reg, s64 off, u64 cfa)
{
	struct mw_walk *st = walk_state(w);
	u64 v = from == MW_FROM_CFA ? cfa : unwind_reg(w, reg);

	if (!v || !st)
		return 0;
	v += off;
	if (from != MW_FROM_REG && walk_read(st, &v, 8, v))
		return 0;
	return v;
}

WALK_PART int unwind_side(walk_t w, u32 i)
{
	struct mw_walk *st = walk_state(w);
	struct mw_unwind_side *side;
	u64 words[2], cfa, ra, fp;

	if (!st)
		return 1;
	if (walk_words(st, st->file.sides + 2 * i, words))
		return stop(st, MW_STACK_NO_TABLE);
	side = (void *)words;
	if (!side->cfa_from || !side->ra_from)
		return stop(st, MW_STACK_UNSUPPORTED);
	cfa = unwind_value(w, side->cfa_from, side->cfa_reg, side->cfa_off, 0);
	if (!cfa)
		return stop(st, MW_STACK_UNSUPPORTED);
	if (side->cfa_from == MW_FROM_DEREF_REG)
		cfa += side->cfa_add;
	ra = unwind_value(w, side->ra_from, side->ra_reg, side->ra_off * 8L, cfa);
	if (!ra)
		return stop(st, MW_STACK_UNSUPPORTED);
	fp = st->fp;
	if (side->fp_from)
		fp = unwind_value(w, side->fp_from, side->fp_reg, side->fp_off, cfa);
	return leave(st, w, ra, cfa + side->ra_off * 8L, cfa, fp);
}

/* The common rows: return address right below the CFA. */
static __always_inline int step_cfa(struct mw_walk *st, walk_t w, u64 cfa, s32 fp_rule)
{
	u64 ra, fp = st->fp;

	/* the lower word first: a window over the stack then holds both */
	if (fp_rule) {
		u64 at = fp_rule == MW_UNWIND_FP_DEREF ? fp : cfa + 8 * (s64)fp_rule;

		if (!walk_stack(st, at, &fp))
			return stop(st, MW_STACK_READ_FAULT);
	}
	if (!walk_stack(st, cfa - 8, &ra))
		return stop(st, MW_STACK_READ_FAULT);
	return leave(st, w, ra, cfa - 8, cfa, fp);
}

/* An interpreted method of Java's: where its caller's stack ended is noted below the frame pointer,
 * since what it was given may have been laid on top of that. */
static __always_inline int step_interpreted(struct mw_walk *st, walk_t w)
{
	u64 fp = st->fp, words[3], sp;

	if (fp & 7 || fp - st->sp > JUMP_LIMIT)
		return stop(st, MW_STACK_JIT);
	if (walk_read(st, words, sizeof(words), fp - 8))
		return stop(st, MW_STACK_READ_FAULT);
	sp = words[0];
	if (sp & 7 || sp - fp < 16 || sp - fp > JUMP_LIMIT)
		sp = fp + 16;
	return leave(st, w, words[2], fp + 8, sp, words[1]);
}

/* Generated code. */
WALK_PART int unwind_code(walk_t w)
{
	struct mw_walk *st = walk_state(w);
	u32 words;

	if (!st)
		return 1;
	words = walk_code_words(w, st->pc - !st->exact);
	if (words == MW_JVM_INTERPRETED)
		return step_interpreted(st, w);
	if (words)
		return step_cfa(st, w, st->sp + 8 * (u64)words, -2);
	return step_fp(st, w, MW_STACK_JIT);
}

static __always_inline int step_special(struct mw_walk *st, walk_t w, u32 what, u16 more)
{
	switch (what) {
	case MW_UNWIND_STOP: return stop(st, MW_STACK_OK);
	case MW_UNWIND_FIBRE: return stop(st, MW_STACK_FIBRE);
	case MW_UNWIND_SIGNAL: return unwind_signal(w);
	case MW_UNWIND_GO_CALL: return unwind_go_call(w, more);
	case MW_UNWIND_FP_FAR: return step_pair(st, w);
	default: return stop(st, MW_STACK_UNSUPPORTED);
	}
}

static __always_inline int step_row(struct mw_walk *st, walk_t w, u64 row, u64 off)
{
	u16 cfa = row >> 32;
	s32 fp_rule = (s16)(row >> 48);
	u64 v, arg = MW_UNWIND_ARG(cfa);

	switch (MW_UNWIND_TYPE(cfa)) {
	case MW_UNWIND_SP: v = st->sp + 8 * arg; break;
	case MW_UNWIND_FP: v = st->fp + 8 * arg; break;
	case MW_UNWIND_DEREF_FP:
		if (walk_read(st, &v, 8, st->fp + 8 * (((s64)arg ^ 4096) - 4096)))
			return stop(st, MW_STACK_READ_FAULT);
		break;
	case MW_UNWIND_PLT: v = st->sp + 8 + ((off & 15) >= arg ? 8 : 0); break;
	case MW_UNWIND_SIDE: return unwind_side(w, (u32)arg << 16 | (u16)(row >> 48));
	case MW_UNWIND_SPECIAL: return step_special(st, w, arg, row >> 48);
	default: return step_fp(st, w, MW_STACK_NO_ROW);
	}
	return step_cfa(st, w, v, fp_rule);
}

/* One frame of the walk. 0: there may be another; 1: done. */
WALK_PART int unwind_step(walk_t w)
{
	struct mw_walk *st = walk_state(w);
	u64 pc, off;
	u32 cause, n;

	if (!st)
		return 1;
	n = st->n;
	/* where a signal interrupted: see mw_ev_stack */
	if (walk_frame(w, n, st->pc + (st->exact && n)))
		return stop(st, MW_STACK_TRUNCATED);
	st->n = n + 1;
	pc = st->pc - !st->exact;
	if (pc - st->start >= st->end - st->start) {
		cause = walk_enter(w, pc);
		if (cause == MW_STACK_NO_MAPPING && n)
			st->n = n; /* no code, so no frame */
		if (cause)
			return stop(st, cause);
	}
	if (st->kind != KIND_TABLE)
		return st->kind == KIND_ANON ? unwind_code(w) : step_fp(st, w, MW_STACK_NO_ROW);
	off = pc + st->bias;
	/* In a PLT entry it is the exact pc that counts, and such a frame is always exact. */
	return step_row(st, w, walk_row(st, w, off), off);
}

#endif
