/* SPDX-License-Identifier: GPL-2.0-or-later */
/* insn.h - questions about one decoded x86-64 instruction (capstone, with details). */
#ifndef ELF_INSN_H
#define ELF_INSN_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stdint.h>

/* Is it in a group (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET, …)? */
static inline bool insn__in_group(const cs_insn *in, uint8_t group)
{
	for (uint8_t i = 0; i < in->detail->groups_count; i++) {
		if (in->detail->groups[i] == group)
			return true;
	}
	return false;
}

/* Target of a direct jump or call, 0 if it is none. */
static inline uint64_t insn__branch_target(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	if (!insn__in_group(in, CS_GRP_JUMP) && !insn__in_group(in, CS_GRP_CALL))
		return 0;
	if (x->op_count != 1 || x->operands[0].type != X86_OP_IMM)
		return 0;
	return x->operands[0].imm;
}

/* Where the pointer is through which a jump or call goes (`call *disp(%rip)`, as -fno-plt has
 * them), 0 if it is none. */
static inline uint64_t insn__branch_slot(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	if (!insn__in_group(in, CS_GRP_JUMP) && !insn__in_group(in, CS_GRP_CALL))
		return 0;
	if (x->op_count != 1 || x->operands[0].type != X86_OP_MEM ||
	    x->operands[0].mem.base != X86_REG_RIP || x->operands[0].mem.index != X86_REG_INVALID)
		return 0;
	return in->address + in->size + x->operands[0].mem.disp;
}

/* Of what Linux emulates on x86-64 (arch/x86/kernel/uprobes.c: branch and push set-up): pushes of
 * 64-bit registers, jmp and jcc and call with a relative target, 1-byte nop. */
bool insn__emulated(const cs_insn *in);
enum { INSN_ARG1 = 2, INSN_ARG2 = 4, INSN_ARG3 = 8, INSN_ARG4 = 16 }; /* as in signature__args */
/* Does it change one of these arguments, or the stack pointer? */
bool insn__clobbers(csh cs, const cs_insn *in, unsigned int args);

#endif
