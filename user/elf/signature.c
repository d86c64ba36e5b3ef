/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/signature.h"

#include <string.h>

#include "core/util.h"
#include "elf/insn.h"

#define MAX_SLOTS 32
#define MAX_FIELD 4096 /* a pointer's field is not further away; a table of sizes is */

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, REGS };

struct values { /* numbers of arguments, 0: something else */
	uint8_t reg[REGS];
	struct {
		int64_t disp; /* from rbp */
		uint8_t arg;
	} slot[MAX_SLOTS];
	size_t nslots;
};

/* Argument registers of the System V ABI, by number from 1. */
static const uint8_t arg_reg[] = {REGS, RDI, RSI, RDX, RCX, R8, R9};

static int reg_of(csh cs, unsigned int reg)
{
	static const char *const names[REGS] = {"ax",  "bx",  "cx",  "dx", "si",  "di",
						"bp",  "sp",  "r8",  "r9", "r10", "r11",
						"r12", "r13", "r14", "r15"};
	const char *name = cs_reg_name(cs, reg);

	if (!name)
		return -1;
	for (int i = R15; i >= R8; i--) { /* r10d before r1… */
		if (!strncmp(name, names[i], strlen(names[i])))
			return i;
	}
	if (name[0] == 'r' || name[0] == 'e')
		name++;
	for (int i = RAX; i < R8; i++) {
		if (!strcmp(name, names[i]))
			return i;
	}
	return -1; /* parts of a byte do not hold a copy */
}

static uint8_t *slot_of(struct values *v, csh cs, const x86_op_mem *m, bool add)
{
	if (m->index != X86_REG_INVALID || reg_of(cs, m->base) != RBP)
		return NULL;
	for (size_t i = 0; i < v->nslots; i++) {
		if (v->slot[i].disp == m->disp)
			return &v->slot[i].arg;
	}
	if (!add || v->nslots == MAX_SLOTS)
		return NULL;
	v->slot[v->nslots].disp = m->disp;
	return &v->slot[v->nslots++].arg;
}

/* The argument through which the instruction reaches memory, 0 if none. */
static uint8_t looked_through(const struct values *v, csh cs, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	if (in->id == X86_INS_LEA || in->id == X86_INS_NOP)
		return 0;
	for (uint8_t i = 0; i < x->op_count; i++) {
		const x86_op_mem *m = &x->operands[i].mem;
		int r;

		if (x->operands[i].type != X86_OP_MEM || m->index != X86_REG_INVALID ||
		    m->disp > MAX_FIELD || m->disp < -MAX_FIELD)
			continue;
		r = reg_of(cs, m->base);
		if (r >= 0 && v->reg[r])
			return v->reg[r];
	}
	return 0;
}

/* What the instruction does to the copies of arguments. */
static void step(struct values *v, csh cs, const cs_insn *in)
{
	static const uint8_t lost_by_calls[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11};
	const cs_x86 *x = &in->detail->x86;
	cs_regs rd, wr;
	uint8_t nrd, nwr, moved = 0, *slot;
	int to = -1;

	if (in->id == X86_INS_MOV && x->op_count == 2) {
		const cs_x86_op *d = &x->operands[0], *s = &x->operands[1];

		if (s->type == X86_OP_REG && reg_of(cs, s->reg) >= 0)
			moved = v->reg[reg_of(cs, s->reg)];
		else if (s->type == X86_OP_MEM && (slot = slot_of(v, cs, &s->mem, false)))
			moved = *slot;
		if (d->type == X86_OP_REG)
			to = reg_of(cs, d->reg);
		else if (d->type == X86_OP_MEM && (slot = slot_of(v, cs, &d->mem, moved != 0)))
			*slot = moved;
	}
	if (!cs_regs_access(cs, in, rd, &nrd, wr, &nwr)) {
		for (uint8_t i = 0; i < nwr; i++) {
			int r = reg_of(cs, wr[i]);

			if (r >= 0)
				v->reg[r] = 0;
		}
	}
	if (to >= 0)
		v->reg[to] = moved;
	if (insn__in_group(in, CS_GRP_CALL)) {
		for (size_t i = 0; i < ARRAY_SIZE(lost_by_calls); i++)
			v->reg[lost_by_calls[i]] = 0;
	}
}

/* Is another argument than these passed on as the size? */
static bool passes_other(const struct values *v, enum mw_fn callee, const struct signature *own)
{
	const struct signature *s = allocs__signature(callee);
	uint8_t arg;

	if (!s->size)
		return false;
	arg = v->reg[arg_reg[s->size]];
	return arg && arg != own->size && arg != own->times;
}

bool signature__contradicted(csh cs, const cs_insn *insn, size_t n, enum mw_fn fn,
			     signature_callee_fn callee, void *arg)
{
	const struct signature *own = allocs__signature(fn);
	struct values v = {0};

	if (!own->size)
		return false;
	for (uint8_t i = 1; i < ARRAY_SIZE(arg_reg); i++)
		v.reg[arg_reg[i]] = i;
	for (size_t i = 0; i < n; i++) {
		uint8_t through = looked_through(&v, cs, &insn[i]);
		enum mw_fn onward = callee(arg, &insn[i]);

		if (through && (through == own->size || through == own->times))
			return true;
		if (onward && passes_other(&v, onward, own))
			return true;
		step(&v, cs, &insn[i]);
	}
	return false;
}

/* Does the instruction read this register's value? Zeroing it by itself is none of it. */
static bool reads(csh cs, const cs_insn *in, int reg)
{
	const cs_x86 *x = &in->detail->x86;
	cs_regs rd, wr;
	uint8_t nrd, nwr;

	if ((in->id == X86_INS_XOR || in->id == X86_INS_SUB) && x->op_count == 2 &&
	    x->operands[0].type == X86_OP_REG && x->operands[1].type == X86_OP_REG &&
	    x->operands[0].reg == x->operands[1].reg)
		return false;
	if (in->id == X86_INS_NOP || cs_regs_access(cs, in, rd, &nrd, wr, &nwr))
		return false;
	for (uint8_t i = 0; i < nrd; i++) {
		if (reg_of(cs, rd[i]) == reg)
			return true;
	}
	return false;
}

bool signature__uses_more(csh cs, const cs_insn *insn, size_t n, enum mw_fn fn)
{
	uint8_t next = fn == MW_FN_MALLOC ? 2 : fn == MW_FN_CALLOC ? 3 : 0;
	struct values v = {0};

	if (!next)
		return false;
	for (uint8_t i = 1; i < ARRAY_SIZE(arg_reg); i++)
		v.reg[arg_reg[i]] = i;
	for (size_t i = 0; i < n; i++) {
		if (v.reg[arg_reg[next]] == next && reads(cs, &insn[i], arg_reg[next]))
			return true;
		step(&v, cs, &insn[i]);
	}
	return false;
}
