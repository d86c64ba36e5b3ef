/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/unwind_code.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/insn.h"

/* What is known before an instruction; distances in words. */
struct code_state {
	int16_t sp;    /* from the stack pointer up to the CFA; 0: not known */
	int16_t fp;    /* from the frame pointer up to the CFA; 0: it is no frame pointer */
	int16_t saved; /* from where the caller's frame pointer is kept up to the CFA; 0: in it */
	uint8_t lost;  /* the caller's frame pointer is nowhere that is known */
	uint8_t seen : 1, entry : 1, queued : 1;
};

static const struct code_state at_entry = {.sp = 1, .seen = 1, .entry = 1};

#define MAX_JUMPS 4096	    /* through registers and memory */
#define MAX_ADDRESSES 65536 /* taken by the code */
#define MAX_CASES 1024	    /* of a switch */
#define MAX_TARGETS (1u << 18)
#define MAX_ROUNDS 8 /* what a table leads to may have tables itself */
#define FUNCTION_ALIGN 16
#define MANY_FUNCTIONS 32

struct jump {		      /* through a register or memory */
	uint32_t off, lo, hi; /* its function */
	uint64_t table;	      /* of 8-byte addresses, 0: another kind */
	size_t first, n;      /* in targets */
};

struct address {      /* taken by `lea OFF(%rip), %reg` */
	uint32_t off; /* of the instruction */
	uint64_t to;
};

struct code_reader {
	const struct unwind_code *code;
	size_t len;
	uint64_t vaddr;
	csh cs;
	cs_insn *in;
	struct code_state *at; /* by byte of the code */
	uint8_t *size;	       /* of the instruction there, 0: none was read */
	uint32_t *todo;
	size_t n_todo, cap_todo;
	uint32_t *doubtful; /* calls before padding: they may be a function's end */
	size_t n_doubtful, cap_doubtful;
	bool doubts_nothing; /* calls return */
	bool finds_entries;  /* the first time through: only where functions begin */
	struct jump *jumps;
	struct address *addresses;
	uint32_t *targets; /* of jumps */
	size_t n_jumps, cap_jumps, n_addresses, cap_addresses, n_targets, cap_targets;
	int err;
};

static void enqueue(struct code_reader *r, uint32_t off)
{
	if (r->at[off].queued || r->err)
		return;
	r->err = array_reserve(r->todo, r->cap_todo, r->n_todo + 1);
	if (r->err)
		return;
	r->at[off].queued = 1;
	r->todo[r->n_todo++] = off;
}

/* Execution comes to vaddr with this much known. */
static void come(struct code_reader *r, uint64_t vaddr, const struct code_state *k)
{
	uint64_t off = vaddr - r->vaddr;
	struct code_state *at, met;

	if (off >= r->len)
		return;
	at = &r->at[off];
	if (at->entry || (at->seen && r->finds_entries))
		return;
	met = *k;
	met.entry = 0;
	met.seen = 1;
	met.queued = at->queued;
	if (at->seen) {
		met.sp = at->sp == k->sp ? k->sp : 0;
		met.fp = at->fp == k->fp ? k->fp : 0;
		met.lost = at->lost || k->lost || at->saved != k->saved;
		met.saved = met.lost ? 0 : k->saved;
		if (!memcmp(at, &met, sizeof(met)))
			return;
	}
	*at = met;
	enqueue(r, off);
}

static void begin_function(struct code_reader *r, uint64_t vaddr)
{
	uint64_t off = vaddr - r->vaddr;

	if (off >= r->len || r->at[off].entry)
		return;
	r->at[off].entry = 1;
	enqueue(r, off);
}

static const cs_x86_op *operand(const cs_insn *in, uint8_t i)
{
	return i < in->detail->x86.op_count ? &in->detail->x86.operands[i] : NULL;
}

static bool is_reg(const cs_x86_op *op, x86_reg reg)
{
	return op && op->type == X86_OP_REG && op->reg == reg;
}

/* How many words a distance of bytes is; false where it is none, or far. */
static bool words(int64_t bytes, int16_t *ret)
{
	if (bytes % 8 || bytes / 8 > INT16_MAX / 4 || bytes / 8 < INT16_MIN / 4)
		return false;
	*ret = (int16_t)(bytes / 8);
	return true;
}

/* From an address in the operand (OFF(%rsp), OFF(%rbp)) up to the CFA; 0: not known. */
static int16_t up_from(const struct code_state *k, const cs_x86_op *op)
{
	int16_t disp, base;

	if (!op || op->type != X86_OP_MEM || op->mem.index != X86_REG_INVALID ||
	    op->mem.segment != X86_REG_INVALID || !words(op->mem.disp, &disp))
		return 0;
	base = op->mem.base == X86_REG_RSP ? k->sp : op->mem.base == X86_REG_RBP ? k->fp : 0;
	return base && base > disp ? (int16_t)(base - disp) : 0;
}

static void lower_by(struct code_state *k, int64_t bytes)
{
	int16_t n;

	if (!k->sp)
		return;
	k->sp = words(bytes, &n) && k->sp + n > 0 && k->sp + n <= MW_UNWIND_MAX_ARG
			? (int16_t)(k->sp + n)
			: 0;
}

/* The frame pointer has another value. */
static void set_fp(struct code_state *k, int16_t fp)
{
	k->fp = fp;
	if (!k->saved)
		k->lost = 1;
}

/* It is loaded from so far below the CFA. */
static void load_fp(struct code_state *k, int16_t from)
{
	bool back = from && from == k->saved;

	set_fp(k, 0);
	if (back)
		k->saved = 0;
}

static void save_fp(struct code_state *k, int16_t where)
{
	if (!k->saved && !k->lost)
		k->saved = where;
}

static bool writes(const struct code_reader *r, const cs_insn *in, x86_reg whole, x86_reg half,
		   x86_reg quarter, x86_reg eighth)
{
	cs_regs rd, wr;
	uint8_t nrd, nwr;

	if (cs_regs_access(r->cs, in, rd, &nrd, wr, &nwr))
		return true;
	for (uint8_t i = 0; i < nwr; i++) {
		if (wr[i] == whole || wr[i] == half || wr[i] == quarter || wr[i] == eighth)
			return true;
	}
	return false;
}

/* What else an instruction may do to the two registers. */
static void other(const struct code_reader *r, struct code_state *k)
{
	if (writes(r, r->in, X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL))
		k->sp = 0;
	if (writes(r, r->in, X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL))
		set_fp(k, 0);
}

static void push(struct code_state *k, const cs_insn *in)
{
	lower_by(k, in->bytes[0] == 0x66 ? 2 : 8);
	if (k->sp && is_reg(operand(in, 0), X86_REG_RBP))
		save_fp(k, k->sp);
}

static void pop(struct code_state *k, const cs_insn *in)
{
	int16_t from = k->sp;

	lower_by(k, in->bytes[0] == 0x66 ? -2 : -8);
	if (is_reg(operand(in, 0), X86_REG_RBP))
		load_fp(k, from);
	else if (is_reg(operand(in, 0), X86_REG_RSP))
		k->sp = 0;
}

static void move(const struct code_reader *r, struct code_state *k)
{
	const cs_x86_op *to = operand(r->in, 0), *from = operand(r->in, 1);

	if (is_reg(to, X86_REG_RSP) && is_reg(from, X86_REG_RBP)) {
		k->sp = k->fp;
	} else if (is_reg(to, X86_REG_RBP) && is_reg(from, X86_REG_RSP)) {
		set_fp(k, k->sp);
	} else if (is_reg(to, X86_REG_RBP) && up_from(k, from)) {
		load_fp(k, up_from(k, from));
	} else {
		if (is_reg(from, X86_REG_RBP) && up_from(k, to))
			save_fp(k, up_from(k, to));
		other(r, k);
	}
}

static void address(const struct code_reader *r, struct code_state *k)
{
	const cs_x86_op *to = operand(r->in, 0);
	int16_t up = up_from(k, operand(r->in, 1));

	if (is_reg(to, X86_REG_RSP))
		k->sp = up;
	else if (is_reg(to, X86_REG_RBP))
		set_fp(k, up);
	else
		other(r, k);
}

static void leave(struct code_state *k)
{
	int16_t from = k->fp;

	k->sp = from > 1 ? (int16_t)(from - 1) : 0;
	load_fp(k, from);
}

/* What is known behind the instruction. */
static void step(const struct code_reader *r, struct code_state *k)
{
	const cs_insn *in = r->in;
	const cs_x86_op *op = operand(in, 0), *op2 = operand(in, 1);
	bool by = is_reg(op, X86_REG_RSP) && op2 && op2->type == X86_OP_IMM;

	switch (in->id) {
	case X86_INS_PUSH: push(k, in); return;
	case X86_INS_PUSHFQ: lower_by(k, 8); return;
	case X86_INS_POP: pop(k, in); return;
	case X86_INS_POPFQ: lower_by(k, -8); return;
	case X86_INS_MOV: move(r, k); return;
	case X86_INS_LEA: address(r, k); return;
	case X86_INS_LEAVE: leave(k); return;
	case X86_INS_SUB:
	case X86_INS_ADD:
		if (by)
			lower_by(k, in->id == X86_INS_SUB ? op2->imm : -op2->imm);
		else
			other(r, k);
		return;
	}
	if (insn__in_group(in, CS_GRP_CALL)) {
		if (insn__branch_target(in) == in->address + in->size)
			lower_by(k, 8); /* to have its own address */
		return;
	}
	other(r, k);
}

static bool ends(const cs_insn *in)
{
	return in->id == X86_INS_JMP || in->id == X86_INS_LJMP || in->id == X86_INS_HLT ||
	       in->id == X86_INS_UD2 || in->id == X86_INS_INT3 || in->id == X86_INS_IRETQ ||
	       insn__in_group(in, CS_GRP_RET);
}

static void note_jump(struct code_reader *r, uint32_t off)
{
	const cs_x86_op *op = operand(r->in, 0);
	struct jump j = {.off = off};

	if (r->n_jumps == MAX_JUMPS || r->err)
		return;
	if (op && op->type == X86_OP_MEM && op->mem.base == X86_REG_INVALID && op->mem.scale == 8)
		j.table = (uint32_t)op->mem.disp;
	r->err = array_reserve(r->jumps, r->cap_jumps, r->n_jumps + 1);
	if (!r->err)
		r->jumps[r->n_jumps++] = j;
}

static void note_address(struct code_reader *r, uint32_t off, uint64_t to)
{
	if (r->n_addresses == MAX_ADDRESSES || r->err)
		return;
	r->err = array_reserve(r->addresses, r->cap_addresses, r->n_addresses + 1);
	if (!r->err)
		r->addresses[r->n_addresses++] = (struct address){off, to};
}

/* What the first time through finds in the instruction at off; pc is behind it. */
static void note(struct code_reader *r, uint32_t off, uint64_t pc)
{
	const cs_x86_op *from = operand(r->in, 1);
	uint64_t to = insn__branch_target(r->in);

	if (insn__in_group(r->in, CS_GRP_CALL)) {
		if (to && to != pc)
			begin_function(r, to);
	} else if (r->in->id == X86_INS_JMP && !to) {
		note_jump(r, off);
	} else if (r->in->id == X86_INS_LEA && from && from->type == X86_OP_MEM &&
		   from->mem.base == X86_REG_RIP) {
		note_address(r, off, pc + from->mem.disp);
	}
}

/* Execution goes on where the jump's table says. */
static void come_by_table(struct code_reader *r, uint32_t off, const struct code_state *k)
{
	for (size_t i = 0; i < r->n_jumps; i++) {
		const struct jump *j = &r->jumps[i];

		for (size_t t = j->off == off ? 0 : j->n; t < j->n; t++)
			come(r, r->vaddr + r->targets[j->first + t], k);
	}
}

static bool is_padding(const uint8_t *p, size_t left)
{
	while (left && *p == 0x66) {
		p++;
		left--;
	}
	return left > 1 && (*p == 0x90 || *p == 0x2e || (*p == 0x0f && p[1] == 0x1f));
}

static void visit(struct code_reader *r, uint32_t off)
{
	const uint8_t *p = r->code->bytes + off;
	size_t left = r->len - off;
	uint64_t pc = r->vaddr + off, to;
	struct code_state k = r->at[off];

	r->at[off].queued = 0;
	if (!cs_disasm_iter(r->cs, &p, &left, &pc, r->in)) {
		r->size[off] = 0;
		return;
	}
	r->size[off] = r->in->size;
	to = insn__branch_target(r->in);
	if (r->finds_entries)
		note(r, off, pc);
	if (to && !insn__in_group(r->in, CS_GRP_CALL))
		come(r, to, &k);
	else if (r->in->id == X86_INS_JMP)
		come_by_table(r, off, &k);
	if (ends(r->in))
		return;
	if (insn__in_group(r->in, CS_GRP_CALL) && !r->doubts_nothing &&
	    (pc % FUNCTION_ALIGN == 0 || is_padding(p, left))) {
		r->err = array_reserve(r->doubtful, r->cap_doubtful, r->n_doubtful + 1);
		if (!r->err)
			r->doubtful[r->n_doubtful++] = off;
		return;
	}
	if (!r->finds_entries)
		step(r, &k);
	come(r, pc, &k);
}

static void follow(struct code_reader *r)
{
	while (r->n_todo && !r->err)
		visit(r, r->todo[--r->n_todo]);
}

/* Where a function begins behind a call that was its predecessor's last instruction; 0: nowhere. */
static uint64_t begins_behind(const struct code_reader *r, uint32_t off)
{
	const uint8_t *p = r->code->bytes + off + r->size[off];
	size_t left = r->len - off - r->size[off];
	uint64_t pc = r->vaddr + off + r->size[off], at = pc;

	while (cs_disasm_iter(r->cs, &p, &left, &pc, r->in)) {
		bool nop = r->in->id == X86_INS_NOP;

		if (!nop && at % FUNCTION_ALIGN)
			return 0;
		if (!nop)
			return r->in->id == X86_INS_PUSH || r->in->id == X86_INS_ENDBR64 ||
					       (r->in->id == X86_INS_SUB &&
						is_reg(operand(r->in, 0), X86_REG_RSP))
				       ? at
				       : 0;
		at = pc;
	}
	return 0;
}

/* The calls before padding do return where nothing else leads to what is behind them, loops begin
 * there; but not where that looks like a function's beginning. */
static void follow_doubtful(struct code_reader *r)
{
	r->doubts_nothing = true;
	for (size_t i = 0; i < r->n_doubtful && !r->err; i++) {
		uint32_t off = r->doubtful[i];
		uint64_t next = begins_behind(r, off);

		if (next && r->finds_entries && !r->at[next - r->vaddr].seen)
			begin_function(r, next);
		else if (!next && off + r->size[off] < r->len && !r->at[off + r->size[off]].seen)
			enqueue(r, off);
		follow(r);
	}
	r->doubts_nothing = false;
	r->n_doubtful = 0;
}

/* From the function's beginning to that of the next. */
static void extent(const struct code_reader *r, struct jump *j)
{
	j->lo = j->off;
	while (j->lo && !r->at[j->lo].entry)
		j->lo--;
	j->hi = j->off + 1;
	while (j->hi < r->len && !r->at[j->hi].entry)
		j->hi++;
}

static int by_address(const void *a, const void *b)
{
	const struct address *x = a, *y = b;

	return x->to < y->to ? -1 : x->to > y->to;
}

static bool is_taken(const struct code_reader *r, uint64_t vaddr)
{
	const struct address key = {.to = vaddr};

	return r->n_addresses &&
	       bsearch(&key, r->addresses, r->n_addresses, sizeof(key), by_address);
}

/*
 * The cases of a switch: distances from the table in 4 bytes each, or addresses in 8. It ends where
 * an entry leads out of the function or another table begins.
 */
static void read_table(struct code_reader *r, const struct jump *j, uint64_t table,
		       size_t entry_bytes)
{
	for (size_t i = 0; i < MAX_CASES && !r->err; i++) {
		uint64_t at = table + i * entry_bytes, to = 0, off;
		int32_t rel;

		if (at - r->vaddr < r->len || r->n_targets == MAX_TARGETS ||
		    (i && is_taken(r, at)) ||
		    r->code->read(r->code->arg, at, &to, entry_bytes) != entry_bytes)
			return;
		memcpy(&rel, &to, sizeof(rel));
		off = (entry_bytes == 8 ? to : table + rel) - r->vaddr;
		if (off < j->lo || off >= j->hi)
			return;
		r->err = array_reserve(r->targets, r->cap_targets, r->n_targets + 1);
		if (!r->err)
			r->targets[r->n_targets++] = off;
	}
}

/* Where the jumps through tables lead to: any table whose address their function takes. */
static void read_tables(struct code_reader *r)
{
	r->n_targets = 0;
	if (r->n_addresses)
		qsort(r->addresses, r->n_addresses, sizeof(*r->addresses), by_address);
	for (size_t i = 0; i < r->n_jumps && r->code->read; i++) {
		struct jump *j = &r->jumps[i];

		extent(r, j);
		j->first = r->n_targets;
		if (j->table)
			read_table(r, j, j->table, 8);
		for (size_t a = 0; a < r->n_addresses && !j->table; a++) {
			if (r->addresses[a].off >= j->lo && r->addresses[a].off < j->hi)
				read_table(r, j, r->addresses[a].to, 4);
		}
		j->n = r->n_targets - j->first;
		come_by_table(r, j->off, &at_entry);
	}
}

/* Code whose address is taken, and nothing else leads to: functions that are called back. */
static void begin_taken(struct code_reader *r)
{
	for (size_t i = 0; i < r->n_addresses; i++) {
		uint64_t off = r->addresses[i].to - r->vaddr;

		if (off < r->len && !r->at[off].seen && !(r->addresses[i].to % FUNCTION_ALIGN))
			begin_function(r, r->addresses[i].to);
	}
}

static struct mw_unwind_row row_of(const struct code_state *k, uint32_t off)
{
	struct mw_unwind_row row = {.off = off, .fp = (int16_t)-k->saved};

	/* A frame pointer that is one knows better: a callee may have taken its arguments off. */
	if (!k->lost && k->fp > 0 && k->saved)
		row.cfa = MW_UNWIND_CFA(MW_UNWIND_FP, k->fp);
	else if (!k->lost && k->sp)
		row.cfa = MW_UNWIND_CFA(MW_UNWIND_SP, k->sp);
	else
		row = (struct mw_unwind_row){off, MW_UNWIND_CFA(MW_UNWIND_END, 0), 0};
	return row;
}

static int add_row(struct mw_unwind_row **rows, size_t *n, size_t *cap, struct mw_unwind_row row)
{
	const struct mw_unwind_row *last = *n ? &(*rows)[*n - 1] : NULL;
	int err;

	if (last && last->cfa == row.cfa && last->fp == row.fp)
		return 0;
	err = array_reserve(*rows, *cap, *n + 1);
	if (!err)
		(*rows)[(*n)++] = row;
	return err;
}

static int make_rows(const struct code_reader *r, struct mw_unwind_row **ret, size_t *ret_n)
{
	const struct code_state nothing = {0};
	struct mw_unwind_row *rows = NULL;
	size_t n = 0, cap = 0, end = 0;
	int err = add_row(&rows, &n, &cap, row_of(&nothing, 0));

	for (uint32_t off = 0; off < r->len && !err; off++) {
		if (off == end && !r->size[off]) /* what the code before did not lead to */
			err = add_row(&rows, &n, &cap, row_of(&nothing, off));
		if (err || !r->size[off])
			continue;
		err = add_row(&rows, &n, &cap, row_of(&r->at[off], off));
		end = max_of(end, (size_t)off + r->size[off]);
	}
	if (n > 1 && rows[1].off == 0) { /* there is a function at the very beginning */
		memmove(rows, rows + 1, (n - 1) * sizeof(*rows));
		n--;
	}
	if (err) {
		free(rows);
		return err;
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

/* Through all that is reached: once for where functions begin, once for what is known there. */
static int read_code(struct code_reader *r, const uint64_t *entries, size_t n_entries)
{
	r->finds_entries = true;
	for (size_t i = 0; i < n_entries; i++)
		begin_function(r, entries[i]);
	follow(r);
	for (size_t i = 0, seen = SIZE_MAX; i < MAX_ROUNDS && seen != r->n_addresses + r->n_jumps;
	     i++) {
		seen = r->n_addresses + r->n_jumps;
		read_tables(r);
		follow(r);
		begin_taken(r);
		follow(r);
		if (seen == r->n_addresses + r->n_jumps)
			follow_doubtful(r);
	}
	read_tables(r);
	r->finds_entries = false;
	memset(r->size, 0, r->len);
	r->n_todo = 0;
	for (size_t off = 0; off < r->len; off++)
		r->at[off] = r->at[off].entry ? at_entry : (struct code_state){0};
	for (size_t off = 0; off < r->len; off++) {
		if (r->at[off].entry)
			enqueue(r, off);
	}
	follow(r);
	follow_doubtful(r);
	return r->err;
}

/* Are there functions to follow, and do they not make frames first, those that call others at
 * least? One in four: small ones that call nobody need none. */
static bool worth_following(const struct unwind_code *code, const uint64_t *entries, size_t n)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	static const uint8_t frame[] = {0x55, 0x48, 0x89, 0xe5}, other[] = {0x55, 0x48, 0x8b, 0xec};
	size_t all = 0, framed = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t off = entries[i] - code->vaddr;
		const uint8_t *p;

		if (off >= code->len)
			continue;
		all++;
		if (code->len - off < sizeof(endbr64) + sizeof(frame))
			continue;
		p = code->bytes + off;
		p += memcmp(p, endbr64, sizeof(endbr64)) ? 0 : sizeof(endbr64);
		framed += !memcmp(p, frame, sizeof(frame)) || !memcmp(p, other, sizeof(other));
	}
	return all && (all < MANY_FUNCTIONS || framed < all / 4);
}

int unwind_code__read(const struct unwind_code *code, const uint64_t *entries, size_t n_entries,
		      struct mw_unwind_row **ret, size_t *ret_n)
{
	struct code_reader r = {.code = code, .len = code->len, .vaddr = code->vaddr};
	size_t len = code->len;
	int err;

	if (len > UNWIND_CODE_MAX)
		return -E2BIG;
	*ret = NULL;
	*ret_n = 0;
	if (!worth_following(code, entries, n_entries))
		return 0;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &r.cs))
		return -ENOMEM;
	cs_option(r.cs, CS_OPT_DETAIL, CS_OPT_ON);
	r.in = cs_malloc(r.cs);
	r.at = calloc(len + 1, sizeof(*r.at));
	r.size = calloc(len + 1, 1);
	err = r.in && r.at && r.size ? read_code(&r, entries, n_entries) : -ENOMEM;
	if (!err)
		err = make_rows(&r, ret, ret_n);
	if (r.in)
		cs_free(r.in, 1);
	cs_close(&r.cs);
	free(r.at);
	free(r.size);
	free(r.todo);
	free(r.doubtful);
	free(r.jumps);
	free(r.addresses);
	free(r.targets);
	return err;
}
