/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/insn.h"

bool insn__emulated(const cs_insn *in)
{
	const uint8_t *b = in->bytes;

	if (in->size == 2 && (b[0] & 0xf0) == 0x40) /* REX push r8-r15 */
		return b[0] == 0x41 && (b[1] & 0xf8) == 0x50;
	switch (b[0]) {
	case 0xe8:
	case 0xe9: return in->size == 5;
	case 0xeb: return in->size == 2;
	case 0x0f: return in->size == 6 && (b[1] & 0xf0) == 0x80;
	case 0x90: return in->size == 1;
	}
	return (in->size == 1 && (b[0] & 0xf8) == 0x50) || (in->size == 2 && (b[0] & 0xf0) == 0x70);
}

bool insn__clobbers(csh cs, const cs_insn *in, unsigned int args)
{
	cs_regs rd, wr;
	uint8_t nrd, nwr;

	if (cs_regs_access(cs, in, rd, &nrd, wr, &nwr))
		return true;
	for (uint8_t i = 0; i < nwr; i++) {
		switch (wr[i]) {
		case X86_REG_RDI:
		case X86_REG_EDI:
		case X86_REG_DI:
		case X86_REG_DIL:
			if (args & INSN_ARG1)
				return true;
			break;
		case X86_REG_RSI:
		case X86_REG_ESI:
		case X86_REG_SI:
		case X86_REG_SIL:
			if (args & INSN_ARG2)
				return true;
			break;
		case X86_REG_RDX:
		case X86_REG_EDX:
		case X86_REG_DX:
		case X86_REG_DL:
		case X86_REG_DH:
			if (args & INSN_ARG3)
				return true;
			break;
		case X86_REG_RCX:
		case X86_REG_ECX:
		case X86_REG_CX:
		case X86_REG_CL:
		case X86_REG_CH:
			if (args & INSN_ARG4)
				return true;
			break;
		case X86_REG_RSP:
		case X86_REG_ESP:
		case X86_REG_SP:
		case X86_REG_SPL: return true;
		}
	}
	return false;
}
