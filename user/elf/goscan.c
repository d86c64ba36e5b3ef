/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * goscan.c - where a stripped Go program keeps the runtime's variables: read from the operands of
 * the few runtime functions that use them. The function table names those functions even when
 * there is no symbol table. Each pattern was checked against the symbol tables of Go 1.19, 1.22,
 * 1.23, 1.24, 1.26 and 1.27; what two patterns reach must agree, or nothing is returned.
 */
#include "elf/gobin.h"

#include "core/util.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <string.h>

#define MAX_CODE ((size_t)64 << 10)

enum ref_kind { REF_LOAD, REF_STORE, REF_LEA, REF_SUB, REF_INC, REF_OTHER };

/* One RIP-relative operand. */
struct ref {
	enum ref_kind kind;
	uint8_t size; /* of the operand, bytes */
	unsigned reg; /* the register operand, full width not implied */
	uint64_t target;
	uint32_t index; /* number of the instruction in the function */
};

struct refs {
	struct ref *r;
	size_t n, cap;
};

static enum ref_kind kind_of(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	switch (in->id) {
	case X86_INS_MOV: return x->operands[0].type == X86_OP_REG ? REF_LOAD : REF_STORE;
	case X86_INS_LEA: return REF_LEA;
	case X86_INS_SUB: return x->operands[0].type == X86_OP_REG ? REF_SUB : REF_OTHER;
	case X86_INS_INC: return REF_INC;
	default: return REF_OTHER;
	}
}

static int add_refs(struct refs *refs, const cs_insn *in, uint32_t index)
{
	const cs_x86 *x = &in->detail->x86;

	for (int i = 0; i < x->op_count; i++) {
		if (x->operands[i].type != X86_OP_MEM || x->operands[i].mem.base != X86_REG_RIP)
			continue;
		int err = array_reserve(refs->r, refs->cap, refs->n + 1);

		if (err)
			return err;
		refs->r[refs->n++] = (struct ref){
			.kind = kind_of(in),
			.size = x->operands[i].size,
			.reg = x->op_count == 2 && x->operands[!i].type == X86_OP_REG
				       ? x->operands[!i].reg
				       : 0,
			.target = in->address + in->size + (uint64_t)x->operands[i].mem.disp,
			.index = index,
		};
	}
	return 0;
}

/* All RIP-relative operands of a function. */
static int refs_of(const struct gobin *g, const char *name, struct refs *ret)
{
	cleanup_free uint8_t *code = NULL;
	struct gotab_func f;
	cs_insn *in = NULL;
	int err = gotab__func_named(&g->tab, name, &f);
	csh cs;

	memset(ret, 0, sizeof(*ret));
	if (err)
		return err;
	size_t len = min_of((size_t)(f.end - f.entry), MAX_CODE);

	code = malloc(len + 1);
	if (!code)
		return -ENOMEM;
	len = elfobj__read(g->elf, f.entry, code, len);
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs) != CS_ERR_OK)
		return -ENOMEM;
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	in = cs_malloc(cs);
	const uint8_t *p = code;
	uint64_t at = f.entry;

	err = in ? 0 : -ENOMEM;
	for (uint32_t i = 0; !err && cs_disasm_iter(cs, &p, &len, &at, in); i++)
		err = add_refs(ret, in, i);
	if (in)
		cs_free(in, 1);
	cs_close(&cs);
	if (err) {
		free(ret->r);
		memset(ret, 0, sizeof(*ret));
	}
	return err;
}

static bool writable(const struct gobin *g, uint64_t vaddr)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(g->elf, &seg);

	for (size_t i = 0; i < n; i++) {
		if (vaddr >= seg[i].vaddr && vaddr - seg[i].vaddr < seg[i].memsz)
			return seg[i].flags & PF_W;
	}
	return false;
}

static uint64_t first_of(const struct refs *refs, enum ref_kind kind, uint8_t size, size_t nth)
{
	for (size_t i = 0; i < refs->n; i++) {
		if (refs->r[i].kind == kind && (!size || refs->r[i].size == size) && nth-- == 0)
			return refs->r[i].target;
	}
	return 0;
}

/* mProf_Flush locks and unlocks profMemActiveLock, both times with its address in AX. */
static uint64_t find_lock(const struct refs *refs, uint64_t cycle)
{
	for (size_t i = 0; i < refs->n; i++) {
		const struct ref *a = &refs->r[i];

		if (a->kind != REF_LEA || a->reg != X86_REG_RAX || a->target == cycle)
			continue;
		for (size_t j = i + 1; j < refs->n; j++) {
			if (refs->r[j].kind == REF_LEA && refs->r[j].reg == X86_REG_RAX &&
			    refs->r[j].target == a->target)
				return a->target;
		}
	}
	return 0;
}

static int scan_heap_profile(const struct gobin *g, struct gobin_symbols *s)
{
	struct refs refs;
	int err = refs_of(g, "runtime.mProf_FlushLocked", &refs);

	if (err)
		return err;
	s->mbuckets = first_of(&refs, REF_LOAD, 8, 0);
	free(refs.r);

	err = refs_of(g, "runtime.mProf_Flush", &refs);
	if (err)
		return err;
	s->mprof_cycle = first_of(&refs, REF_LOAD, 4, 0);
	s->mem_active_lock = find_lock(&refs, s->mprof_cycle);
	free(refs.r);

	/* mallocgc's slow path: mcache0 first, then the rate. */
	err = refs_of(g, "runtime.profilealloc", &refs);
	if (err)
		return err == -ENOENT ? 0 : err;
	s->mem_profile_rate = first_of(&refs, REF_LOAD, 8, 1);
	free(refs.r);
	return 0;
}

/* The n-th place where an 8-byte variable is copied to another through one register. */
static bool copy_pair(const struct refs *refs, size_t nth, uint64_t *from, uint64_t *to)
{
	for (size_t i = 0; i + 1 < refs->n; i++) {
		const struct ref *a = &refs->r[i], *b = &refs->r[i + 1];

		if (a->kind == REF_LOAD && b->kind == REF_STORE && a->size == 8 && b->size == 8 &&
		    a->reg == b->reg && b->index == a->index + 1 && nth-- == 0) {
			*from = a->target;
			*to = b->target;
			return true;
		}
	}
	return false;
}

static bool has_ref(const struct refs *refs, enum ref_kind kind, uint64_t target)
{
	for (size_t i = 0; i < refs->n; i++) {
		if (refs->r[i].kind == kind && refs->r[i].target == target)
			return true;
	}
	return false;
}

/*
 * gcMarkTermination: work.heap1 = gcController.heapLive; memstats.lastHeapInUse =
 * gcController.heapInUse; memstats.numgc++ and numforcedgc++; and, printing a trace,
 * work.tSweepTerm - runtimeInitTime.
 */
static int scan_gc(const struct gobin *g, const struct gobin_code_layout *l,
		   struct gobin_symbols *s)
{
	uint64_t live, heap1, in_use, last;
	struct refs refs;
	int err = refs_of(g, "runtime.gcMarkTermination", &refs);

	if (err)
		return err;
	if (!copy_pair(&refs, 0, &live, &heap1) || !copy_pair(&refs, 1, &in_use, &last) ||
	    live - l->gc_heap_live != in_use - l->gc_heap_in_use) {
		free(refs.r);
		return -ENOENT;
	}
	s->gc_controller = live - l->gc_heap_live;
	s->work = heap1 - l->work_heap1;
	s->memstats = last - l->ms_last_heap_in_use;
	err = has_ref(&refs, REF_INC, s->memstats + l->ms_numforcedgc) &&
			      has_ref(&refs, REF_INC, s->memstats + l->ms_numgc)
		      ? 0
		      : -ENOENT;
	for (size_t i = 0; i < refs.n && !err; i++) {
		const struct ref *r = &refs.r[i];

		if (r->kind == REF_SUB && r->size == 8 && r->target - s->work >= l->work_size) {
			s->runtime_init_time = r->target;
			break;
		}
	}
	free(refs.r);
	return err;
}

/* allgadd appends to the slice allgs: it loads its three words. */
static int scan_goroutines(const struct gobin *g, struct gobin_symbols *s)
{
	struct refs refs;
	int err = refs_of(g, "runtime.allgadd", &refs);

	if (err)
		return err;
	for (size_t i = 0; i < refs.n && !s->allgs; i++) {
		const struct ref *r = &refs.r[i];

		if (r->kind == REF_LOAD && r->size == 8 &&
		    has_ref(&refs, REF_LOAD, r->target + 8) &&
		    has_ref(&refs, REF_LOAD, r->target + 16))
			s->allgs = r->target;
	}
	free(refs.r);
	return 0;
}

int gobin__symbols_by_code(struct gobin *g, const struct gobin_code_layout *l,
			   struct gobin_symbols *ret)
{
	struct gobin_symbols s = {.by_code = true};
	int err;

	if (elfobj__machine(g->elf) != EM_X86_64)
		return -ENOTSUP;
	err = scan_heap_profile(g, &s);
	if (!err)
		err = scan_gc(g, l, &s);
	if (!err)
		err = scan_goroutines(g, &s);
	if (err)
		return err;
	if (!writable(g, s.mbuckets) || !writable(g, s.mprof_cycle) || !writable(g, s.memstats) ||
	    !writable(g, s.gc_controller) || !writable(g, s.work) ||
	    (s.mem_active_lock && !writable(g, s.mem_active_lock)) ||
	    (s.mem_profile_rate && !writable(g, s.mem_profile_rate)) ||
	    (s.allgs && !writable(g, s.allgs)) ||
	    (s.runtime_init_time && !writable(g, s.runtime_init_time)))
		return -ENOENT;
	*ret = s;
	return 0;
}

static bool is_nop5(const uint8_t *p, size_t len)
{
	static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

	return len >= 5 && !memcmp(p, nop5, 5);
}

int gobin__probe_site(const struct gobin *g, const char *func, uint64_t *ret_off)
{
	static const uint8_t stack_check[] = {0x49, 0x3b, 0x66, 0x10}; /* cmp 0x10(%r14),%rsp */
	struct gotab_func f;
	uint8_t code[16];
	int err = gotab__func_named(&g->tab, func, &f);

	if (err)
		return err;
	size_t n = elfobj__read(g->elf, f.entry, code, sizeof(code));

	if (n < 6 || !elfobj__vaddr_to_off(g->elf, f.entry, ret_off))
		return -ENOENT;
	/* A patchable entry starts with the one instruction that must not carry a uprobe. */
	if (is_nop5(code, n))
		*ret_off += 5;
	/* The stack check's jump is emulated by the kernel; the compare before it is not. */
	else if (!memcmp(code, stack_check, sizeof(stack_check)) &&
		 (code[4] == 0x76 || (code[4] == 0x0f && code[5] == 0x86)))
		*ret_off += sizeof(stack_check);
	return 0;
}
