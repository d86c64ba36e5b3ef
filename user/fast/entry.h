/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * entry.h - the first instructions of a function, decoded, judged and moved elsewhere. Pure.
 *
 * A function is entered through its first instruction, which stays (another tracer's breakpoint on
 * it keeps working), and a 5-byte jump over the instructions behind it. What was overwritten runs
 * from a copy. Whatever cannot be copied with certainty is refused, with the reason.
 */
#ifndef FAST_ENTRY_H
#define FAST_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENTRY_PATCH 5	  /* bytes of the jump */
#define ENTRY_MAX_INSNS 8 /* the first and those overwritten */
#define ENTRY_LOOK 64	  /* bytes that may be looked at */
#define ENTRY_RAX 1
#define ENTRY_FLAGS 2
#define ENTRY_R10_R11 4
#define ENTRY_SHORT 144 /* as far as short branches reach, and an instruction */

struct entry_insn {
	uint64_t addr;
	uint8_t len;
	int8_t sp_words; /* 8-byte words by which it lowers the stack pointer */
	char text[64];
};

struct entry {
	uint64_t addr;	/* of the function */
	uint64_t patch; /* where the jump goes: the second instruction */
	uint64_t back;	/* first instruction that is not overwritten */
	uint64_t pad;	/* where padding begins that is overwritten behind its end, 0: none */
	uint8_t code[ENTRY_LOOK];
	uint8_t code_len; /* of it, that are the function's */
	struct entry_insn insn[ENTRY_MAX_INSNS];
	size_t n;
	uint8_t sets; /* by a first instruction that may run again: of what stubs change, ENTRY_* */
	uint8_t undo[8]; /* machine code that takes the first instruction back */
	size_t undo_len;
	char why[160]; /* why it is refused; "" if it is not */
};

/*
 * Decodes the function at addr; `args`: its arguments that must not change (bit N: argument N).
 * True if it can be patched, else e->why says why not. When the function is nothing but a jump,
 * *ret_follow is its target and false is returned without a reason. One that is shorter than the
 * jump is taken with the padding behind it (e->pad): the caller knows where it ends.
 */
bool entry__decode(const uint8_t *code, size_t len, uint64_t addr, unsigned int args,
		   struct entry *e, uint64_t *ret_follow);

/* What the code of the function around an entry says. */
struct entry_body {
	bool decoded;  /* all from which a short branch could lead into the overwritten bytes */
	bool branches; /* into them: also to their beginning, where the first instruction's work is
			  not what a call's would be */
	bool leaves;   /* calls, jumps to other code or makes system calls */
};
/* The function's code, from its beginning at addr. */
void entry__look(const struct entry *e, const uint8_t *code, size_t len, uint64_t addr,
		 struct entry_body *ret);
/* Calls fn with the target of each direct branch in this function; as entry__each_rel32. */
bool entry__each_branch(const uint8_t *code, size_t len, uint64_t addr,
			bool (*fn)(void *arg, uint64_t to), void *arg);
/* Does `to` lie in the overwritten bytes? */
static inline bool entry__inside(const struct entry *e, uint64_t to)
{
	return to >= e->patch && to < e->back;
}
/* Calls fn with the target of every 32-bit branch there might be in the text, wherever it begins;
 * fn returns true to stop. True: stopped. */
bool entry__each_rel32(const uint8_t *text, size_t len, uint64_t addr,
		       bool (*fn)(void *arg, uint64_t to), void *arg);

/*
 * Writes instructions [from, e->n) as they run at `at`, then a jump back into the function.
 * Returns the bytes written; 0: does not fit in cap or out of reach. ret_offs, if not NULL: where
 * each instruction begins (e->n entries, from `from`).
 */
size_t entry__move(const struct entry *e, size_t from, uint64_t at, uint8_t *buf, size_t cap,
		   uint32_t *ret_offs);

/* The jump that is written: 5 bytes at e->patch to `to`. False: out of reach. */
bool entry__jump(uint64_t from, uint64_t to, uint8_t buf[ENTRY_PATCH]);

#endif
