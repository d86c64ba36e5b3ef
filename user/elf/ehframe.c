/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/ehframe.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define STATE_STACK 64 /* nesting of DW_CFA_remember_state; compilers use one or two */

#define X86_FP 6
#define X86_SP 7
#define X86_RA 16
#define ARM_FP 29
#define ARM_RA 30

/* A bounded reader: past the end it yields zeros and stays bad. */
struct cur {
	const uint8_t *p, *end;
	bool bad;
};

static bool cur_has(struct cur *c, size_t n)
{
	if ((size_t)(c->end - c->p) >= n)
		return true;
	c->bad = true;
	c->p = c->end;
	return false;
}

static uint8_t get_u8(struct cur *c)
{
	return cur_has(c, 1) ? *c->p++ : 0;
}

static uint64_t get_bytes(struct cur *c, unsigned int n)
{
	uint64_t v = 0;

	if (!cur_has(c, n))
		return 0;
	memcpy(&v, c->p, n); /* little endian: the only kind memwatch reads */
	c->p += n;
	return v;
}

static uint64_t get_uleb(struct cur *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0;; shift += 7) {
		uint8_t b;

		if (!cur_has(c, 1))
			return 0;
		b = *c->p++;
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
}

static int64_t get_sleb(struct cur *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0;;) {
		uint8_t b;

		if (!cur_has(c, 1))
			return 0;
		b = *c->p++;
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
		if (!(b & 0x80)) {
			if (shift < 64 && (b & 0x40))
				v |= ~0ULL << shift;
			return (int64_t)v;
		}
	}
}

static void skip(struct cur *c, uint64_t n)
{
	if (n > (uint64_t)(c->end - c->p)) {
		c->bad = true;
		c->p = c->end;
	} else {
		c->p += n;
	}
}

/* A pointer in one of the DW_EH_PE_* encodings. func: base of function-relative ones. */
static uint64_t get_encoded(const struct ehframe_section *s, struct cur *c, uint8_t enc,
			    unsigned int addr_size)
{
	uint64_t pos = c->p - s->data, v;

	if (enc == DW_EH_PE_omit)
		return 0;
	if (enc & DW_EH_PE_indirect || (enc & 0x70) == DW_EH_PE_funcrel) {
		c->bad = true; /* never used for the addresses that are read here */
		return 0;
	}
	if ((enc & 0x70) == DW_EH_PE_aligned) {
		skip(c, -(s->vaddr + pos) & 7);
		return get_bytes(c, 8);
	}
	switch (enc & 0x0f) {
	case DW_EH_PE_absptr: v = get_bytes(c, addr_size); break;
	case DW_EH_PE_uleb128: v = get_uleb(c); break;
	case DW_EH_PE_udata2: v = get_bytes(c, 2); break;
	case DW_EH_PE_udata4: v = get_bytes(c, 4); break;
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8: v = get_bytes(c, 8); break;
	case DW_EH_PE_sleb128: v = get_sleb(c); break;
	case DW_EH_PE_sdata2: v = (int64_t)(int16_t)get_bytes(c, 2); break;
	case DW_EH_PE_sdata4: v = (int64_t)(int32_t)get_bytes(c, 4); break;
	default: c->bad = true; return 0;
	}
	switch (enc & 0x70) {
	case DW_EH_PE_pcrel: return v + s->vaddr + pos;
	case DW_EH_PE_textrel: return v + s->text;
	case DW_EH_PE_datarel: return v + s->got;
	default: return v;
	}
}

static int64_t breg_operand(struct cur *c, uint8_t op, uint8_t *ret_reg)
{
	uint64_t reg;

	if (op != DW_OP_bregx) {
		*ret_reg = op - DW_OP_breg0;
		return get_sleb(c);
	}
	reg = get_uleb(c);
	if (reg > 255)
		c->bad = true;
	*ret_reg = reg;
	return get_sleb(c);
}

/* The linker's expression for lazy PLT entries: the CFA moves by 8 after the entry's push. */
static bool is_plt_expr(const uint8_t *p, size_t len, int32_t *ret_threshold)
{
	static const uint8_t head[] = {DW_OP_breg0 + X86_SP, 8,	       DW_OP_breg0 + X86_RA, 0,
				       DW_OP_lit15,	     DW_OP_and};
	static const uint8_t tail[] = {DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus};

	if (len != sizeof(head) + 1 + sizeof(tail) || memcmp(p, head, sizeof(head)) ||
	    memcmp(p + sizeof(head) + 1, tail, sizeof(tail)))
		return false;
	*ret_threshold = p[sizeof(head)] - DW_OP_lit0;
	return *ret_threshold >= 0 && *ret_threshold < 16;
}

static bool fits(int64_t v)
{
	return v >= INT32_MIN && v <= INT32_MAX;
}

static const struct ehframe_rule unsupported = {.kind = EHFRAME_UNSUPPORTED};

/*
 * The two shapes that compilers emit: reg+off, and *(reg+off) [+ add]. In a rule for the CFA the
 * expression's value is the CFA; in a DW_CFA_expression it is the address of the saved value.
 */
static struct ehframe_rule expr_rule(const uint8_t *p, size_t len, bool is_cfa)
{
	struct cur c = {p, p + len};
	struct ehframe_rule r = {.kind = EHFRAME_REG};
	int64_t off, add = 0;
	uint8_t op;

	if (is_cfa && is_plt_expr(p, len, &r.off)) {
		r.kind = EHFRAME_PLT;
		return r;
	}
	op = get_u8(&c);
	if (op != DW_OP_bregx && (op < DW_OP_breg0 || op > DW_OP_breg31))
		return unsupported;
	off = breg_operand(&c, op, &r.reg);
	while (c.p < c.end && !c.bad) {
		op = *c.p++;
		if (op == DW_OP_deref && r.kind == EHFRAME_REG && is_cfa) {
			r.kind = EHFRAME_DEREF;
		} else if (op == DW_OP_plus_uconst) {
			uint64_t n = get_uleb(&c);

			if (n > INT32_MAX || !fits(off) || !fits(add))
				return unsupported;
			if (r.kind == EHFRAME_DEREF)
				add += n;
			else
				off += n;
		} else {
			return unsupported;
		}
	}
	if (c.bad || !fits(off) || !fits(add))
		return unsupported;
	r.off = off;
	r.add = add;
	if (!is_cfa)
		r.kind = EHFRAME_DEREF;
	return r;
}

/* The interpreter of call frame instructions. */
struct cfi_machine {
	const struct ehframe *eh;
	const struct ehframe_cie *cie;
	struct ehframe_state st, stack[STATE_STACK];
	unsigned int depth;
	uint64_t loc, end;
	uint8_t fp_reg;
	ehframe_row_fn fn;
	void *arg;
};

static struct ehframe_rule *column(struct cfi_machine *m, uint64_t reg)
{
	if (reg == m->fp_reg)
		return &m->st.fp;
	if (reg == m->cie->ra_reg)
		return &m->st.ra;
	return NULL;
}

static void set_rule(struct cfi_machine *m, uint64_t reg, struct ehframe_rule r)
{
	struct ehframe_rule *c = column(m, reg);

	if (c)
		*c = r;
}

static void set_offset(struct cfi_machine *m, uint64_t reg, int64_t factored)
{
	struct ehframe_rule r = {.kind = EHFRAME_OFFSET};
	int64_t off;

	if (__builtin_mul_overflow(factored, m->cie->data_align, &off) || !fits(off))
		r = unsupported;
	else
		r.off = off;
	set_rule(m, reg, r);
}

static void restore(struct cfi_machine *m, uint64_t reg)
{
	struct ehframe_rule *c = column(m, reg);

	if (c)
		*c = reg == m->fp_reg ? m->cie->init.fp : m->cie->init.ra;
}

static void set_cfa(struct cfi_machine *m, uint64_t reg, int64_t off)
{
	if (reg > 255 || !fits(off)) {
		m->st.cfa = unsupported;
		return;
	}
	m->st.cfa = (struct ehframe_rule){.kind = EHFRAME_REG, .reg = reg, .off = off};
}

/* def_cfa_register and def_cfa_offset only make sense on reg+off. */
static void change_cfa(struct cfi_machine *m, int64_t reg, int64_t off)
{
	if (m->st.cfa.kind != EHFRAME_REG) {
		m->st.cfa = unsupported;
		return;
	}
	set_cfa(m, reg < 0 ? m->st.cfa.reg : reg, reg < 0 ? off : m->st.cfa.off);
}

static int64_t scaled(const struct cfi_machine *m, int64_t v)
{
	int64_t r;

	return __builtin_mul_overflow(v, m->cie->data_align, &r) ? INT64_MAX : r;
}

/* Emits the state for [loc, new location), then moves. 0, 1 when the function's end is reached,
 * or what fn returned. */
static int advance_to(struct cfi_machine *m, uint64_t to)
{
	int err;

	if (to == m->loc)
		return 0;
	if (to < m->loc)
		to = m->end; /* backwards or wrapped: the rest is as it is */
	err = m->fn ? m->fn(m->arg, m->loc, &m->st) : 0;
	if (err)
		return err;
	m->loc = to;
	return to >= m->end;
}

static int advance_by(struct cfi_machine *m, uint64_t delta)
{
	uint64_t n;

	if (__builtin_mul_overflow(delta, m->cie->code_align, &n) ||
	    __builtin_add_overflow(n, m->loc, &n))
		n = m->end;
	return advance_to(m, n);
}

static struct ehframe_rule block_rule(struct cur *c, bool is_cfa)
{
	uint64_t len = get_uleb(c);
	const uint8_t *p = c->p;

	skip(c, len);
	return c->bad ? unsupported : expr_rule(p, len, is_cfa);
}

/* Rules for registers other than by the two-bit opcodes. True if `op` was one. */
static bool run_register_op(struct cfi_machine *m, struct cur *c, uint8_t op)
{
	uint64_t reg, other;

	switch (op) {
	case DW_CFA_offset_extended:
		reg = get_uleb(c);
		set_offset(m, reg, get_uleb(c) & INT64_MAX);
		return true;
	case DW_CFA_offset_extended_sf:
		reg = get_uleb(c);
		set_offset(m, reg, get_sleb(c));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		reg = get_uleb(c);
		set_offset(m, reg, -(int64_t)(get_uleb(c) & INT64_MAX));
		return true;
	case DW_CFA_restore_extended: restore(m, get_uleb(c)); return true;
	case DW_CFA_undefined:
		set_rule(m, get_uleb(c), (struct ehframe_rule){.kind = EHFRAME_UNDEFINED});
		return true;
	case DW_CFA_same_value:
		set_rule(m, get_uleb(c), (struct ehframe_rule){.kind = EHFRAME_SAME});
		return true;
	case DW_CFA_register:
		reg = get_uleb(c);
		other = get_uleb(c);
		set_rule(m, reg,
			 other > 255 ? unsupported
				     : (struct ehframe_rule){.kind = EHFRAME_REG, .reg = other});
		return true;
	case DW_CFA_expression:
		reg = get_uleb(c);
		set_rule(m, reg, block_rule(c, false));
		return true;
	case DW_CFA_val_expression:
		reg = get_uleb(c);
		skip(c, get_uleb(c));
		set_rule(m, reg, unsupported);
		return true;
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		reg = get_uleb(c);
		get_uleb(c);
		set_rule(m, reg, unsupported);
		return true;
	default: return false;
	}
}

static bool run_cfa_op(struct cfi_machine *m, struct cur *c, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = get_uleb(c);
		set_cfa(m, reg, get_uleb(c) & INT64_MAX);
		return true;
	case DW_CFA_def_cfa_sf:
		reg = get_uleb(c);
		set_cfa(m, reg, scaled(m, get_sleb(c)));
		return true;
	case DW_CFA_def_cfa_register:
		reg = get_uleb(c);
		change_cfa(m, reg > 255 ? 256 : (int64_t)reg, 0);
		return true;
	case DW_CFA_def_cfa_offset: change_cfa(m, -1, get_uleb(c) & INT64_MAX); return true;
	case DW_CFA_def_cfa_offset_sf: change_cfa(m, -1, scaled(m, get_sleb(c))); return true;
	case DW_CFA_def_cfa_expression: m->st.cfa = block_rule(c, true); return true;
	default: return false;
	}
}

/* One of the opcodes without an operand in its top bits. 0 to go on, 1 at the function's end,
 * -EBADMSG if not understood, else what fn returned. */
static int run_extended(struct cfi_machine *m, struct cur *c, uint8_t op)
{
	if (run_register_op(m, c, op) || run_cfa_op(m, c, op))
		return 0;
	switch (op) {
	case DW_CFA_nop: return 0;
	case DW_CFA_set_loc:
		return advance_to(m, get_encoded(&m->eh->sec, c, m->cie->enc, m->cie->addr_size));
	case DW_CFA_advance_loc1: return advance_by(m, get_u8(c));
	case DW_CFA_advance_loc2: return advance_by(m, get_bytes(c, 2));
	case DW_CFA_advance_loc4: return advance_by(m, get_bytes(c, 4));
	case DW_CFA_MIPS_advance_loc8: return advance_by(m, get_bytes(c, 8));
	case DW_CFA_remember_state:
		if (m->depth == STATE_STACK)
			return -EBADMSG;
		m->stack[m->depth++] = m->st;
		return 0;
	case DW_CFA_restore_state:
		if (!m->depth)
			return -EBADMSG;
		m->st = m->stack[--m->depth];
		return 0;
	case DW_CFA_GNU_args_size: get_uleb(c); return 0;
	case DW_CFA_GNU_window_save: return 0; /* AArch64: the return address is signed */
	default: return -EBADMSG;
	}
}

static int run_code(struct cfi_machine *m, const uint8_t *code, size_t len)
{
	struct cur c = {code, code + len};
	int err = 0;

	while (c.p < c.end && !err) {
		uint8_t op = *c.p++, low = op & 0x3f;

		switch (op & 0xc0) {
		case DW_CFA_advance_loc: err = advance_by(m, low); break;
		case DW_CFA_offset: set_offset(m, low, get_uleb(&c) & INT64_MAX); break;
		case DW_CFA_restore: restore(m, low); break;
		default: err = run_extended(m, &c, low); break;
		}
		if (c.bad && !err)
			err = -EBADMSG;
	}
	return err;
}

int ehframe__run(const struct ehframe *eh, const struct ehframe_fde *fde, ehframe_row_fn fn,
		 void *arg)
{
	const struct ehframe_cie *cie = &eh->cies[fde->cie];
	struct cfi_machine m;
	int err;

	/* not an initialiser: the state stack is large and need not be cleared */
	m.eh = eh;
	m.cie = cie;
	m.st = cie->init;
	m.depth = 0;
	m.loc = fde->start;
	m.end = fde->start + fde->len;
	m.fp_reg = eh->sec.arm64 ? ARM_FP : X86_FP;
	m.fn = fn;
	m.arg = arg;
	err = run_code(&m, fde->code, fde->code_len);
	if (err == -EBADMSG) {
		m.st.cfa = unsupported;
		err = 0;
	}
	if (err == 1 || m.loc >= m.end)
		return err == 1 ? 0 : err;
	return err ? err : fn(arg, m.loc, &m.st);
}

/* Reading of records. */

struct cfi_record {
	uint64_t pos;	   /* of the length field */
	const uint8_t *id; /* of the CIE id or pointer */
	uint64_t cie;	   /* FDE: position of its CIE; CIE: ~0 */
	struct cur body;   /* after the id */
};

/* Next record of the section, or false at its end. Damage ends the walk and sets *bad. */
static bool next_record(const struct ehframe_section *s, uint64_t *pos, struct cfi_record *ret,
			bool *bad)
{
	struct cur c = {s->data + *pos, s->data + s->len};
	uint64_t len, id;
	bool dwarf64 = false;

	do { /* a zero length ends .eh_frame for the C library, but linkers leave some inside */
		if (s->len - *pos < 4)
			return false;
		ret->pos = c.p - s->data;
		len = get_bytes(&c, 4);
		*pos = c.p - s->data;
	} while (!len);
	if (len == 0xffffffff) {
		len = get_bytes(&c, 8);
		dwarf64 = true;
	}
	if (c.bad || len > (uint64_t)(c.end - c.p) || len < 4) {
		*bad = true;
		return false;
	}
	c.end = c.p + len;
	*pos = c.end - s->data;
	ret->id = c.p;
	if (s->debug_frame) {
		id = get_bytes(&c, dwarf64 ? 8 : 4);
		ret->cie = id == (dwarf64 ? ~0ULL : 0xffffffffULL) ? ~0ULL : id;
	} else {
		id = get_bytes(&c, 4);
		ret->cie = id ? (uint64_t)(ret->id - s->data) - id : ~0ULL;
	}
	ret->body = c;
	return true;
}

/* The augmentation string and its data. False if it cannot be understood. */
static bool read_augmentation(const struct ehframe_section *s, struct cur *c, const char *aug,
			      struct ehframe_cie *cie)
{
	struct cur data;
	uint64_t len;

	if (*aug != 'z')
		return !*aug;
	cie->augmented = true;
	len = get_uleb(c);
	data = (struct cur){c->p, c->p};
	skip(c, len);
	if (c->bad)
		return false;
	data.end = c->p;
	for (aug++; *aug; aug++) {
		switch (*aug) {
		case 'R': cie->enc = get_u8(&data); break;
		case 'L': get_u8(&data); break;
		case 'P': {
			uint8_t enc = get_u8(&data);

			/* only its size matters; indirection does not change that */
			get_encoded(s, &data, enc & ~DW_EH_PE_indirect, cie->addr_size);
			break;
		}
		case 'S': cie->signal = true; break;
		case 'B': break;      /* AArch64: return addresses are signed with the B key */
		default: return true; /* the rest of the data cannot be located, nor is it needed */
		}
	}
	return !data.bad;
}

static bool read_cie(const struct ehframe *eh, struct cfi_record *r, struct ehframe_cie *cie)
{
	const struct ehframe_section *s = &eh->sec;
	struct cur *c = &r->body;
	struct cfi_machine m = {.eh = eh, .cie = cie, .end = ~0ULL};
	uint8_t version = get_u8(c);
	const char *aug = (const char *)c->p;
	size_t aug_len = strnlen(aug, c->end - c->p);
	uint64_t ra;

	*cie = (struct ehframe_cie){.pos = r->pos, .addr_size = 8};
	skip(c, aug_len + 1);
	if (c->bad || (version != 1 && version != 3 && version != 4))
		return false;
	if (!strcmp(aug, "eh")) { /* gcc 2: a pointer of no use here */
		skip(c, 8);
		aug = "";
	}
	if (version == 4) {
		cie->addr_size = get_u8(c);
		if (get_u8(c) || (cie->addr_size != 8 && cie->addr_size != 4))
			return false; /* segmented addresses */
	}
	cie->code_align = get_uleb(c);
	cie->data_align = get_sleb(c);
	ra = version == 1 ? get_u8(c) : get_uleb(c);
	if (c->bad || ra > 255)
		return false;
	cie->ra_reg = ra;
	if (!read_augmentation(s, c, aug, cie))
		return false;
	/* Until a rule says otherwise: on x86-64 the call pushed the return address right below
	 * the CFA (every compiler says so explicitly); on AArch64 it is in the link register. */
	m.st.cfa = unsupported;
	m.st.ra = s->arm64 ? (struct ehframe_rule){.kind = EHFRAME_SAME} : unsupported;
	m.fp_reg = s->arm64 ? ARM_FP : X86_FP;
	if (run_code(&m, c->p, c->end - c->p) || m.loc)
		return false;
	cie->init = m.st;
	return true;
}

static int read_cies(struct ehframe *eh)
{
	struct cfi_record r;
	uint64_t pos = 0;

	while (next_record(&eh->sec, &pos, &r, &eh->truncated)) {
		struct ehframe_cie *cie;
		int err;

		if (r.cie != ~0ULL)
			continue;
		if (eh->n_cies == EHFRAME_MAX_CIES) {
			eh->truncated = true;
			return 0;
		}
		err = array_reserve(eh->cies, eh->cap_cies, eh->n_cies + 1);
		if (err)
			return err;
		cie = &eh->cies[eh->n_cies++];
		cie->bad = !read_cie(eh, &r, cie);
		eh->bad_records += cie->bad;
	}
	return 0;
}

/* CIEs are in ascending order of position, and only whole records count: each is interpreted
 * once, however many functions point to it. */
static ssize_t find_cie(const struct ehframe *eh, uint64_t pos, size_t hint)
{
	size_t lo = 0, hi = eh->n_cies;

	if (hint < eh->n_cies && eh->cies[hint].pos == pos)
		return hint;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (eh->cies[mid].pos == pos)
			return mid;
		if (eh->cies[mid].pos < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

static bool read_fde(const struct ehframe *eh, struct cfi_record *r, size_t cie_index,
		     struct ehframe_fde *fde)
{
	const struct ehframe_cie *cie = &eh->cies[cie_index];
	struct cur *c = &r->body;
	uint64_t end;

	fde->cie = cie_index;
	fde->start = get_encoded(&eh->sec, c, cie->enc, cie->addr_size);
	fde->len = get_encoded(&eh->sec, c, cie->enc & 0x0f, cie->addr_size);
	if (cie->augmented)
		skip(c, get_uleb(c));
	fde->code = c->p;
	fde->code_len = c->end - c->p;
	return !c->bad && (uint64_t)(c->end - c->p) <= UINT32_MAX && fde->len &&
	       !__builtin_add_overflow(fde->start, fde->len, &end);
}

static int read_fdes(struct ehframe *eh)
{
	struct cfi_record r;
	uint64_t pos = 0;
	ssize_t cie = 0;

	while (next_record(&eh->sec, &pos, &r, &eh->truncated)) {
		int err;

		if (r.cie == ~0ULL)
			continue;
		cie = find_cie(eh, r.cie, max_of(cie, 0));
		if (cie < 0 || eh->cies[cie].bad) {
			eh->bad_records++;
			continue;
		}
		if (eh->n_fdes == EHFRAME_MAX_FDES) {
			eh->truncated = true;
			return 0;
		}
		err = array_reserve(eh->fdes, eh->cap_fdes, eh->n_fdes + 1);
		if (err)
			return err;
		if (read_fde(eh, &r, cie, &eh->fdes[eh->n_fdes]))
			eh->n_fdes++;
		else /* an empty range is what the linker leaves of a discarded function */
			eh->bad_records += eh->fdes[eh->n_fdes].len != 0;
	}
	return 0;
}

int ehframe__read(const struct ehframe_section *sec, struct ehframe *ret)
{
	int err;

	*ret = (struct ehframe){.sec = *sec};
	err = read_cies(ret);
	if (!err)
		err = read_fdes(ret);
	if (err)
		ehframe__free(ret);
	return err;
}

void ehframe__free(struct ehframe *eh)
{
	free(eh->cies);
	free(eh->fdes);
	*eh = (struct ehframe){0};
}
