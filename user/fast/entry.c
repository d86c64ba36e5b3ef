/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/entry.h"

#include <capstone/capstone.h>
#include <stdio.h>
#include <string.h>

#include "elf/insn.h"

#define PAGE 4096

static bool refuse(struct entry *e, const char *why, const cs_insn *in)
{
	if (in)
		snprintf(e->why, sizeof(e->why), "%s: '%s %.40s' at +%lu", why, in->mnemonic,
			 in->op_str, (unsigned long)(in->address - e->addr));
	else
		snprintf(e->why, sizeof(e->why), "%s", why);
	return false;
}

/* A 64-bit register by any of its names, as bit; 0: none of the general ones. */
static uint32_t reg_bit(unsigned int reg)
{
	static const uint16_t names[16][5] = {
		{X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH},
		{X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH},
		{X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH},
		{X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH},
		{X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL},
		{X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL},
		{X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL},
		{X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL},
		{X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B},
		{X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B},
		{X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B},
		{X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B},
		{X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B},
		{X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B},
		{X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B},
		{X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B},
	};

	for (int i = 0; i < 16; i++) {
		for (int j = 0; j < 5; j++) {
			if (reg && names[i][j] == reg)
				return 1u << i;
		}
	}
	return 0;
}

enum {
	RAX = 1,
	RCX = 2,
	RDX = 4,
	RSP = 16,
	RSI = 64,
	RDI = 128,
	R8 = 256,
	R9 = 512,
	R10 = 1024,
	R11 = 2048
};

static uint32_t arg_regs(unsigned int args)
{
	static const uint32_t of[] = {0, RDI, RSI, RDX, RCX, R8, R9};
	uint32_t regs = 0;

	for (unsigned int i = 1; i < sizeof(of) / sizeof(of[0]); i++)
		regs |= args >> i & 1 ? of[i] : 0;
	return regs;
}

static bool rip_relative(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	for (uint8_t i = 0; i < x->op_count; i++) {
		if (x->operands[i].type == X86_OP_MEM && x->operands[i].mem.base == X86_REG_RIP)
			return true;
	}
	return false;
}

static bool is_push(const cs_insn *in)
{
	const uint8_t *b = in->bytes;

	return (in->size == 1 && (b[0] & 0xf8) == 0x50) ||
	       (in->size == 2 && b[0] == 0x41 && (b[1] & 0xf8) == 0x50);
}

/* sub $imm8, %rsp */
static bool is_sub_rsp(const cs_insn *in)
{
	const uint8_t *b = in->bytes;

	return in->size == 4 && b[0] == 0x48 && b[1] == 0x83 && b[2] == 0xec && !(b[3] & 0x87);
}

static uint8_t sets(uint32_t regs)
{
	return (regs & RAX ? ENTRY_RAX : 0) | (regs & (R10 | R11) ? ENTRY_R10_R11 : 0);
}

/* An instruction that sets flags or registers which no caller expects anything of, and reads none
 * that it sets: running it twice is running it once. */
static bool repeatable(csh cs, const cs_insn *in, uint32_t keep, uint8_t *ret_sets)
{
	uint32_t rd_regs = 0, wr_regs = 0;
	const cs_x86 *x = &in->detail->x86;
	cs_regs rd, wr;
	uint8_t nrd, nwr;

	switch (in->id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_MOVZX:
	case X86_INS_LEA:
		if (x->op_count < 1 || x->operands[0].type != X86_OP_REG)
			return false;
		break;
	case X86_INS_XOR:
		if (x->op_count != 2 || x->operands[0].type != X86_OP_REG ||
		    x->operands[1].type != X86_OP_REG || x->operands[0].reg != x->operands[1].reg)
			return false;
		*ret_sets = ENTRY_FLAGS | sets(reg_bit(x->operands[0].reg));
		return reg_bit(x->operands[0].reg) & ~keep &
		       (RAX | RCX | RDX | RSI | RDI | R8 | R9 | R10 | R11);
	case X86_INS_CMP:
	case X86_INS_TEST: break;
	default: return false;
	}
	if (cs_regs_access(cs, in, rd, &nrd, wr, &nwr))
		return false;
	for (uint8_t i = 0; i < nrd; i++)
		rd_regs |= reg_bit(rd[i]);
	for (uint8_t i = 0; i < nwr; i++) {
		uint32_t bit = reg_bit(wr[i]);

		if (!bit && wr[i] != X86_REG_EFLAGS)
			return false;
		wr_regs |= bit;
		*ret_sets |= bit ? sets(bit) : ENTRY_FLAGS;
	}
	return !(wr_regs & ~(uint32_t)(RAX | RCX | RDX | RSI | RDI | R8 | R9 | R10 | R11)) &&
	       !(wr_regs & keep) && !(rd_regs & wr_regs) && !(rd_regs & (RAX | R10 | R11));
}

/* The first instruction: stays where it is, so the stub must know what it did. */
static bool judge_first(csh cs, const cs_insn *in, uint32_t keep, struct entry *e)
{
	const uint8_t *b = in->bytes;

	if (in->id == X86_INS_ENDBR64 || in->id == X86_INS_NOP)
		return true;
	if (is_push(in)) { /* pop the same register, unless the stub itself uses it */
		uint8_t reg = (in->size == 2 ? 8 : 0) + (b[in->size - 1] & 7);

		if (reg == 0 || reg == 10 || reg == 11)
			return refuse(e, "its first instruction cannot be taken back", in);
		memcpy(e->undo, b, in->size);
		e->undo[in->size - 1] += 8;
		e->undo_len = in->size;
		return true;
	}
	if (is_sub_rsp(in)) { /* add */
		memcpy(e->undo, b, 4);
		e->undo[2] = 0xc4;
		e->undo_len = 4;
		return true;
	}
	return repeatable(cs, in, keep, &e->sets) ||
	       refuse(e, "its first instruction cannot be taken back", in);
}

static bool is_plain_flow(const cs_insn *in)
{
	const uint8_t *b = in->bytes;

	return (in->size == 2 && (b[0] == 0xeb || (b[0] & 0xf0) == 0x70)) ||
	       (in->size == 5 && b[0] == 0xe9) ||
	       (in->size == 6 && b[0] == 0x0f && (b[1] & 0xf0) == 0x80);
}

/* An instruction that is overwritten: it must run elsewhere just as well. */
static bool judge_moved(const cs_insn *in, struct entry *e)
{
	if (is_plain_flow(in))
		return true;
	if (insn__in_group(in, CS_GRP_JUMP) || insn__in_group(in, CS_GRP_CALL) ||
	    insn__in_group(in, CS_GRP_BRANCH_RELATIVE) || insn__in_group(in, CS_GRP_RET) ||
	    insn__in_group(in, CS_GRP_INT) || insn__in_group(in, CS_GRP_IRET) ||
	    insn__in_group(in, CS_GRP_PRIVILEGE) || in->id == X86_INS_SYSCALL ||
	    in->id == X86_INS_HLT || in->id == X86_INS_UD2 || in->id == X86_INS_INT3)
		return refuse(e, "an instruction that cannot be moved", in);
	if (rip_relative(in) && in->detail->x86.encoding.disp_size != 4)
		return refuse(e, "an address that cannot be moved", in);
	return true;
}

static bool ends_flow(const cs_insn *in)
{
	return in->bytes[0] == 0xe9 || in->bytes[0] == 0xeb;
}

/* What compilers and linkers put between functions. */
static bool is_padding(const cs_insn *in)
{
	return in->id == X86_INS_NOP || in->id == X86_INS_INT3;
}

static void note(struct entry *e, const cs_insn *in)
{
	struct entry_insn *i = &e->insn[e->n++];

	i->addr = in->address;
	i->len = in->size;
	i->sp_words = is_push(in) ? 1 : is_sub_rsp(in) ? in->bytes[3] / 8 : 0;
	snprintf(i->text, sizeof(i->text), "%.16s%s%.40s", in->mnemonic, *in->op_str ? " " : "",
		 in->op_str);
}

static bool decode(csh cs, const cs_insn *in, size_t n, uint32_t keep, struct entry *e)
{
	size_t i;

	if (!n)
		return refuse(e, "its code cannot be decoded", NULL);
	if (!judge_first(cs, &in[0], keep, e))
		return false;
	note(e, &in[0]);
	e->patch = e->back = in[1].address;
	for (i = 1; e->back - e->patch < ENTRY_PATCH; i++) {
		if (i >= n || e->n >= ENTRY_MAX_INSNS)
			return refuse(e, "its code cannot be decoded far enough", NULL);
		if (e->pad && !is_padding(&in[i]))
			return refuse(e, "it is too short", &in[i - 1]);
		if (!e->pad && !judge_moved(&in[i], e))
			return false;
		note(e, &in[i]);
		e->back = in[i].address + in[i].size;
		if (ends_flow(&in[i]) && e->back - e->patch < ENTRY_PATCH)
			e->pad = e->back;
	}
	if (e->patch / PAGE != (e->patch + ENTRY_PATCH - 1) / PAGE)
		return refuse(e, "the bytes to be written lie across two pages", NULL);
	for (i = 1; i < e->n; i++) {
		uint64_t to = insn__branch_target(&in[i]);

		if (to && entry__inside(e, to))
			return refuse(e, "a branch leads into the bytes to be written", &in[i]);
	}
	return true;
}

bool entry__decode(const uint8_t *code, size_t len, uint64_t addr, unsigned int args,
		   struct entry *e, uint64_t *ret_follow)
{
	cs_insn *in = NULL;
	size_t n;
	csh cs;
	bool ok;

	memset(e, 0, sizeof(*e));
	*ret_follow = 0;
	e->addr = addr;
	if (len > ENTRY_LOOK)
		len = ENTRY_LOOK;
	memcpy(e->code, code, len);
	e->code_len = len;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs))
		return refuse(e, "no instruction decoder", NULL);
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	n = cs_disasm(cs, e->code, len, addr, ENTRY_MAX_INSNS + 1, &in);
	if (n && ends_flow(&in[0]) && insn__branch_target(&in[0])) {
		*ret_follow = insn__branch_target(&in[0]);
		ok = false;
	} else {
		ok = n < 2 ? refuse(e, "its code cannot be decoded", NULL)
			   : decode(cs, in, n, arg_regs(args), e);
	}
	if (n)
		cs_free(in, n);
	cs_close(&cs);
	return ok;
}

bool entry__each_branch(const uint8_t *code, size_t len, uint64_t addr,
			bool (*fn)(void *arg, uint64_t to), void *arg)
{
	cs_insn *in = NULL;
	bool stopped = false;
	csh cs;
	size_t n;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs))
		return true;
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	n = cs_disasm(cs, code, len, addr, 0, &in);
	for (size_t i = 0; i < n && !stopped; i++) {
		uint64_t to = insn__branch_target(&in[i]);

		stopped = to && fn(arg, to);
	}
	if (n)
		cs_free(in, n);
	cs_close(&cs);
	return stopped;
}

/* Of jumps, calls, and those that count or look at rcx. */
static uint64_t any_target(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	if (insn__in_group(in, CS_GRP_BRANCH_RELATIVE) && x->op_count == 1 &&
	    x->operands[0].type == X86_OP_IMM)
		return x->operands[0].imm;
	return insn__branch_target(in);
}

static bool leaves(const cs_insn *in, uint64_t start, uint64_t end)
{
	uint64_t to = any_target(in);

	if (insn__in_group(in, CS_GRP_CALL) || in->id == X86_INS_SYSCALL)
		return true;
	return to ? to < start || to >= end : insn__branch_slot(in) != 0;
}

void entry__look(const struct entry *e, const uint8_t *code, size_t len, uint64_t addr,
		 struct entry_body *ret)
{
	uint64_t end = addr + len, at = addr;
	cs_insn *in = NULL;
	size_t n;
	csh cs;

	memset(ret, 0, sizeof(*ret));
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs))
		return;
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	n = cs_disasm(cs, code, len, addr, 0, &in);
	for (size_t i = 0; i < n; i++) {
		uint64_t to = any_target(&in[i]);

		at = in[i].address + in[i].size;
		ret->branches |= to && entry__inside(e, to);
		ret->leaves |= leaves(&in[i], addr, end);
	}
	ret->decoded = at >= end || at >= e->back + ENTRY_SHORT;
	if (n)
		cs_free(in, n);
	cs_close(&cs);
}

bool entry__each_rel32(const uint8_t *text, size_t len, uint64_t addr,
		       bool (*fn)(void *arg, uint64_t to), void *arg)
{
	for (size_t i = 0; i + 5 <= len; i++) {
		size_t at = i;
		int32_t rel;

		if (text[i] == 0x0f && (text[i + 1] & 0xf0) == 0x80)
			at++;
		else if (text[i] != 0xe8 && text[i] != 0xe9)
			continue;
		if (at + 5 > len)
			break;
		memcpy(&rel, text + at + 1, 4);
		if (fn(arg, addr + at + 5 + (int64_t)rel))
			return true;
	}
	return false;
}

bool entry__jump(uint64_t from, uint64_t to, uint8_t buf[ENTRY_PATCH])
{
	int64_t rel = (int64_t)(to - (from + ENTRY_PATCH));
	int32_t rel32 = (int32_t)rel;

	if (rel != rel32)
		return false;
	buf[0] = 0xe9;
	memcpy(buf + 1, &rel32, 4);
	return true;
}

/* One instruction at its new place; its length, 0 if its target is out of reach. */
static size_t move_one(const cs_insn *in, uint64_t at, uint8_t *buf)
{
	uint64_t to = insn__branch_target(in);
	int64_t rel;
	int32_t rel32;
	size_t len, field;

	if (is_plain_flow(in)) {
		uint8_t cc = in->bytes[0] == 0x0f ? in->bytes[1] & 15 : in->bytes[0] & 15;

		if (ends_flow(in)) {
			buf[0] = 0xe9;
			len = 5;
		} else {
			buf[0] = 0x0f;
			buf[1] = 0x80 | cc;
			len = 6;
		}
		field = len - 4;
	} else {
		memcpy(buf, in->bytes, in->size);
		if (!rip_relative(in))
			return in->size;
		len = in->size;
		field = in->detail->x86.encoding.disp_offset;
		memcpy(&rel32, in->bytes + field, 4);
		to = in->address + len + (int64_t)rel32;
	}
	rel = (int64_t)(to - (at + len));
	rel32 = (int32_t)rel;
	if (rel != rel32)
		return 0;
	memcpy(buf + field, &rel32, 4);
	return len;
}

size_t entry__move(const struct entry *e, size_t from, uint64_t at, uint8_t *buf, size_t cap,
		   uint32_t *ret_offs)
{
	size_t start = e->insn[from].addr - e->addr, len = e->back - e->insn[from].addr, n, out = 0;
	cs_insn *in = NULL;
	bool ok;
	csh cs;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs))
		return 0;
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	n = cs_disasm(cs, e->code + start, len, e->insn[from].addr, 0, &in);
	ok = n == e->n - from;
	for (size_t i = 0; i < n && ok; i++) {
		size_t one = out + 16 <= cap ? move_one(&in[i], at + out, buf + out) : 0;

		if (ret_offs)
			ret_offs[i] = out;
		out += one;
		ok = one;
	}
	ok = ok && out + ENTRY_PATCH <= cap && entry__jump(at + out, e->back, buf + out);
	out = ok ? out + ENTRY_PATCH : 0;
	if (n)
		cs_free(in, n);
	cs_close(&cs);
	return out;
}
