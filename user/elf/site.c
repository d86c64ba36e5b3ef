/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/site.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/insn.h"
#include "elf/layer.h"
#include "elf/plt.h"
#include "elf/signature.h"
#include "elf/tail.h"
#include "elf/threadcache.h"

#define MAX_BODY 4096	 /* bytes of a function that are looked at */
#define DEFAULT_BODY 256 /* of one whose symbol has no size */
#define MAX_LEAD 24	 /* instructions before the site */
#define MAX_JUMPS 4	 /* from one name of a function to its code */
#define MAX_TAILS 16	 /* functions of no name that others go on to */

static bool is_nop(const cs_insn *in)
{
	return in->id == X86_INS_NOP || in->id == X86_INS_ENDBR64;
}

static bool is_flow(const cs_insn *in)
{
	return insn__in_group(in, CS_GRP_JUMP) || insn__in_group(in, CS_GRP_CALL) ||
	       insn__in_group(in, CS_GRP_RET) || insn__in_group(in, CS_GRP_INT) ||
	       insn__in_group(in, CS_GRP_IRET);
}

struct body {
	const struct elfobj *elf;
	csh cs;
	cs_insn *insn;
	size_t n;
	uint64_t start, end;
};

static int body_read(struct body *b, const struct alloc_func *f)
{
	uint8_t code[MAX_BODY];
	size_t want = f->size ? min_of(f->size, (uint64_t)MAX_BODY) : DEFAULT_BODY, got;

	got = elfobj__read(b->elf, f->vaddr, code, want);
	b->insn = NULL;
	b->n = got ? cs_disasm(b->cs, code, got, f->vaddr, 0, &b->insn) : 0;
	b->start = f->vaddr;
	b->end = f->vaddr + (f->size ? f->size : got);
	return b->n ? 0 : -ENOEXEC;
}

static void body_free(struct body *b)
{
	if (b->insn)
		cs_free(b->insn, b->n);
	b->insn = NULL;
	b->n = 0;
}

/* Does a branch inside the function lead back to this address? Then a call could pass it twice. */
static bool is_loop_target(const struct body *b, uint64_t vaddr)
{
	for (size_t i = 0; i < b->n; i++) {
		if (insn__branch_target(&b->insn[i]) == vaddr &&
		    !insn__in_group(&b->insn[i], CS_GRP_CALL))
			return true;
	}
	return false;
}

static void set_site(struct site *s, const cs_insn *in, enum site_kind kind, const char *why)
{
	s->vaddr = in->address;
	s->kind = kind;
	s->why = why;
	snprintf(s->insn, sizeof(s->insn), "%s%s%s", in->mnemonic, in->op_str[0] ? " " : "",
		 in->op_str);
}

/* `test %rdi,%rdi; je …` at the start of free: the branch is taken for NULL only. */
static bool is_null_test(const cs_insn *test, const cs_insn *jump)
{
	const cs_x86 *x = &test->detail->x86;

	return test->id == X86_INS_TEST && jump->id == X86_INS_JE && x->op_count == 2 &&
	       x->operands[0].type == X86_OP_REG && x->operands[0].reg == X86_REG_RDI &&
	       x->operands[1].type == X86_OP_REG && x->operands[1].reg == X86_REG_RDI;
}

/*
 * Walks the straight line from the entry. free(NULL) does nothing, so behind a test for it the
 * walk may go on: the calls that matter still pass.
 */
static void choose_one(struct body *b, struct site *s)
{
	const char *why = "no emulated instruction before the arguments change";
	unsigned int args = signature__args(allocs__signature(s->func.fn));
	const cs_insn *best = NULL;

	for (size_t i = 0; i < b->n && i < MAX_LEAD; i++) {
		const cs_insn *in = &b->insn[i];

		if (insn__emulated(in) && !is_loop_target(b, in->address)) {
			if (s->func.fn == MW_FN_FREE && i > 0 && is_null_test(in - 1, in)) {
				best = in;
				continue;
			}
			best = in;
			break;
		}
		if (is_flow(in) || (!is_nop(in) && insn__clobbers(b->cs, in, args)))
			break;
	}
	if (best) {
		set_site(s, best, SITE_EMULATED, "");
		return;
	}
	for (size_t i = 0; i < b->n; i++) { /* at the entry, but never on a 5-byte nop */
		if (is_nop(&b->insn[i]) && b->insn[i].size == 5)
			continue;
		set_site(s, &b->insn[i], SITE_STEPPED, why);
		return;
	}
	s->kind = SITE_NONE;
	s->why = "no code";
}

static struct site *site_at(struct site *sites, size_t n, uint64_t vaddr)
{
	for (size_t i = 0; i < n; i++) {
		if (sites[i].func.vaddr == vaddr)
			return &sites[i];
	}
	return NULL;
}

static void note_caller(struct site *callee, uint64_t start, uint64_t end)
{
	if (callee->ncallers == SITE_CALLERS)
		return;
	for (size_t i = 0; i < callee->ncallers; i++) {
		if (callee->caller[i].lo == (int64_t)start)
			return;
	}
	/* absolute for now; made relative when every site is known */
	callee->caller[callee->ncallers].lo = start;
	callee->caller[callee->ncallers].hi = end;
	callee->ncallers++;
}

/* The C library's own emptying of a thread's cache is no call of the program's. */
static void note_thread_cache(const struct elfobj *e, struct site *s)
{
	uint64_t lo, hi;

	if (s->func.fn == MW_FN_FREE && !strcmp(s->func.name, "free") &&
	    threadcache__find(e, s->func.vaddr, &lo, &hi))
		note_caller(s, lo, hi);
}

/* Does a call of the one stand for a call of the other, so that one probe of the two will do?
 * realloc that goes on to malloc or free in some cases is more than they are. */
static bool stands_for(enum mw_fn onward, enum mw_fn fn)
{
	enum mw_does a = allocs__signature(onward)->does, b = allocs__signature(fn)->does;

	if (onward == MW_FN_REALLOCARRAY)
		return onward == fn;
	return onward == fn ||
	       (a == MW_DOES_THROW ? MW_DOES_ALLOC : a) == (b == MW_DOES_THROW ? MW_DOES_ALLOC : b);
}

static bool is_cxx(const struct site *s)
{
	return s->func.name[0] == '_' && s->func.name[1] == 'Z';
}

static void set_wrapper(struct site *s, const char *callee)
{
	s->wrapper = true;
	snprintf(s->calls, sizeof(s->calls), "%s", callee);
}

struct onward {		   /* where a branch out of a function leads, if into the family */
	struct site *site; /* in this file, or NULL */
	enum mw_fn fn;
	const char *name;
};

static struct onward onward_of(const struct body *b, const struct plt *plt, struct site *sites,
			       size_t n, const cs_insn *in)
{
	uint64_t to = insn__branch_target(in), slot = insn__branch_slot(in);
	struct onward o = {.site = to ? site_at(sites, n, to) : NULL};
	const struct plt_entry *e = o.site ? NULL
				    : slot ? plt__slot(plt, slot)
				    : to   ? plt__resolve(plt, b->elf, to)
					   : NULL;

	if (e) {
		o.site = e->vaddr ? site_at(sites, n, e->vaddr) : NULL;
		o.fn = e->fn;
		o.name = e->name;
	}
	if (o.site && o.site->unproved)
		return (struct onward){0};
	if (o.site) {
		o.fn = o.site->func.fn;
		o.name = o.site->func.name;
	}
	return o;
}

/* Is there a jump into malloc within a few instructions of vaddr? */
static bool leads_to_malloc(const struct body *b, const struct plt *plt, struct site *sites,
			    size_t n, uint64_t vaddr)
{
	struct alloc_func at = {.vaddr = vaddr, .size = 40};
	struct body code = {.elf = b->elf, .cs = b->cs};
	bool found = false;

	if (body_read(&code, &at))
		return false;
	for (size_t i = 0; i < code.n && !is_flow(&code.insn[i == 0 ? 0 : i - 1]); i++) {
		if (code.insn[i].id == X86_INS_JMP)
			found = onward_of(b, plt, sites, n, &code.insn[i]).fn == MW_FN_MALLOC;
	}
	body_free(&code);
	return found;
}

/*
 * glibc's memalign and posix_memalign share a helper that begins `cmp $16, alignment; jbe` and
 * jumps to malloc from there. The largest alignment that goes to malloc so, 0 for none.
 */
static uint32_t small_alignment(const struct body *b, const struct plt *plt, struct site *sites,
				size_t n, uint64_t helper)
{
	struct alloc_func at = {.vaddr = helper, .size = 64};
	struct body code = {.elf = b->elf, .cs = b->cs};
	uint32_t limit = 0;

	if (body_read(&code, &at))
		return 0;
	for (size_t i = 0; i + 1 < code.n && !is_flow(&code.insn[i]); i++) {
		const cs_x86 *x = &code.insn[i].detail->x86;
		const cs_insn *next = &code.insn[i + 1];

		if (code.insn[i].id == X86_INS_CMP && x->operands[1].type == X86_OP_IMM &&
		    x->operands[1].imm > 0 && x->operands[1].imm <= 64 && next->id == X86_INS_JBE &&
		    leads_to_malloc(b, plt, sites, n, insn__branch_target(next)))
			limit = x->operands[1].imm;
	}
	body_free(&code);
	return limit;
}

/* Do these arguments still have their values at the site? */
static bool intact(const struct body *b, const struct site *s, unsigned int args)
{
	for (size_t i = 0; i < b->n && b->insn[i].address < s->vaddr; i++) {
		if (!is_nop(&b->insn[i]) && insn__clobbers(b->cs, &b->insn[i], args))
			return false;
	}
	return true;
}

/* Cases in which a function of the family leaves the call to malloc by a jump, unrecognisable
 * there by its return address. They are left to malloc's probe. */
static void scan_goes_on(const struct body *b, const struct plt *plt, struct site *s,
			 struct site *sites, size_t n, uint64_t to, const struct onward *o,
			 bool jump)
{
	if (s->func.fn == MW_FN_REALLOC && jump && o->fn == MW_FN_MALLOC)
		s->null_goes_on = true;
	if (((s->func.fn == MW_FN_MEMALIGN && intact(b, s, INSN_ARG1)) ||
	     (s->func.fn == MW_FN_POSIX_MEMALIGN && intact(b, s, INSN_ARG2))) &&
	    !o->fn && !s->align_goes_on)
		s->align_goes_on = small_alignment(b, plt, sites, n, to);
}

static bool is_zero_eax(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	return in->id == X86_INS_XOR && x->op_count == 2 && x->operands[0].type == X86_OP_REG &&
	       x->operands[0].reg == X86_REG_EAX && x->operands[1].type == X86_OP_REG &&
	       x->operands[1].reg == X86_REG_EAX;
}

/* Does instruction i return what an allocation does without having been made by anybody? Saved
 * registers may be taken back before, if no other way leads there. */
static bool gives_null(const struct body *b, size_t i, const struct site *s)
{
	const struct signature *sig = allocs__signature(s->func.fn);
	size_t at = i;

	if ((sig->does != MW_DOES_ALLOC && sig->does != MW_DOES_REALLOC) || sig->out)
		return false;
	while (at && b->insn[at - 1].id == X86_INS_POP && !is_loop_target(b, b->insn[at].address))
		at--;
	return at && is_zero_eax(&b->insn[at - 1]) &&
	       (at == i || !is_loop_target(b, b->insn[at].address));
}

/*
 * Which functions of the family does this one call? One that ends only in jumps to others, or an
 * operator new or delete that calls malloc or free before anything else can happen, or a
 * reallocarray that goes on to realloc adds nothing of its own: the other is probed, wherever it
 * is. Two probes would count twice and, worse, sample twice.
 */
static void scan_calls(const struct body *b, const struct plt *plt, struct site *s,
		       struct site *sites, size_t n)
{
	struct site *called[SITE_CALLERS * 4];
	const char *onward = NULL;
	bool returns = false, other_exit = false, straight = true;
	size_t ncalled = 0;

	for (size_t i = 0; i < b->n; i++) {
		const cs_insn *in = &b->insn[i];
		bool jump = insn__in_group(in, CS_GRP_JUMP), call = insn__in_group(in, CS_GRP_CALL);
		uint64_t to = insn__branch_target(in);
		struct onward o;

		returns |= insn__in_group(in, CS_GRP_RET) && !gives_null(b, i, s);
		o = onward_of(b, plt, sites, n, in);
		other_exit |= jump && !to && !o.fn;
		if ((!to && !o.fn) || (to >= b->start && to < b->end)) {
			straight &= !call && !jump;
			continue;
		}
		scan_goes_on(b, plt, s, sites, n, to, &o, jump);
		if (call && o.site && ncalled < ARRAY_SIZE(called))
			called[ncalled++] = o.site;
		if (!o.fn || !stands_for(o.fn, s->func.fn)) {
			other_exit |= jump;
		} else if (s->func.fn == MW_FN_REALLOCARRAY) {
			set_wrapper(s, o.name);
		} else if (jump) {
			onward = o.name;
		} else if (is_cxx(s) && (straight || to == (o.site ? o.site->func.vaddr : 0))) {
			set_wrapper(s, o.name);
		}
		straight = false;
	}
	/* operator delete may return at once for NULL. */
	if (onward && !other_exit && (!returns || (is_cxx(s) && s->func.fn == MW_FN_FREE)))
		set_wrapper(s, onward);
	/* What a wrapper calls is not nested: it is the call. */
	for (size_t i = 0; i < ncalled && !s->wrapper; i++)
		note_caller(called[i], b->start, b->end);
	s->calls_family = ncalled && !s->wrapper;
}

struct callee_arg {
	const struct body *b;
	const struct plt *plt;
	struct site *sites;
	size_t n;
};

/* Only of names that are proof themselves. */
static enum mw_fn known_callee(void *arg, const cs_insn *branch)
{
	struct callee_arg *c = arg;
	struct onward o = onward_of(c->b, c->plt, c->sites, c->n, branch);

	return o.fn && !allocs__prefix(o.name) ? o.fn : MW_FN_NONE;
}

/* Functions that share the prefix of one whose code contradicts its name, or that calls a known
 * allocator, which sees what they do, are left out with it. */
static void leave_out(struct site *sites, size_t n, const struct site *wrong, const char *calls)
{
	size_t len = allocs__prefix(wrong->func.name);

	for (size_t i = 0; i < n; i++) {
		struct site *s = &sites[i];

		if (allocs__prefix(s->func.name) != len ||
		    strncmp(s->func.name, wrong->func.name, len))
			continue;
		s->unproved = true;
		s->kind = SITE_NONE;
		if (calls)
			set_wrapper(s, calls);
		else
			s->why = SITE_OTHER_ARGUMENTS;
	}
}

/* The known allocator's function that the code calls, itself or (deep) by a function of the file.
 */
static const char *known_below(struct callee_arg *arg, const struct body *b, bool deep)
{
	for (size_t i = 0; i < b->n; i++) {
		const cs_insn *in = &b->insn[i];
		uint64_t to = insn__branch_target(in);
		struct onward o = onward_of(b, arg->plt, arg->sites, arg->n, in);
		struct body helper = {.elf = b->elf, .cs = b->cs};
		struct alloc_func f = {.vaddr = to};
		const char *name = NULL;

		if (o.fn && allocs__signature(o.fn)->does == MW_DOES_ALLOC &&
		    !allocs__prefix(o.name))
			return o.name;
		if (!deep && insn__in_group(in, CS_GRP_RET))
			return NULL;
		if (!deep || !to || o.fn || (to >= b->start && to < b->end) ||
		    body_read(&helper, &f))
			continue;
		name = known_below(arg, &helper, false);
		body_free(&helper);
		if (name)
			return name;
	}
	return NULL;
}

static void check_one(struct callee_arg *arg, struct body *b, struct site *s, bool own)
{
	size_t prefix = allocs__prefix(s->func.name);
	bool known = allocs__prefix_known(s->func.name, prefix);
	const char *below = NULL, *name = s->func.name + prefix;
	bool plain = !strcmp(name, "malloc") || !strcmp(name, "calloc");

	if (!prefix || s->unproved || (known && own) || body_read(b, &s->func))
		return;
	if (!known && plain)
		below = known_below(arg, b, true);
	if (below || signature__contradicted(b->cs, b->insn, b->n, s->func.fn, known_callee, arg) ||
	    (plain && signature__uses_more(b->cs, b->insn, b->n, s->func.fn)))
		leave_out(arg->sites, arg->n, s, below);
	body_free(b);
}

static void check_signatures(struct body *b, const struct plt *plt, struct site *sites, size_t n)
{
	struct callee_arg arg = {.b = b, .plt = plt, .sites = sites, .n = n};
	bool own = allocs__is_allocator(b->elf);

	for (size_t i = 0; i < n; i++)
		check_one(&arg, b, &sites[i], own);
}

/* Does the function lie over another one of the same file (what --wrap makes, an own malloc over a
 * static C library's)? */
static bool lies_over(const char *name, const char *other)
{
	static const char wrap[] = "__wrap_", libc[] = "__libc_";

	if (!strncmp(name, wrap, strlen(wrap)))
		return !strcmp(name + strlen(wrap), other);
	return !strncmp(other, libc, strlen(libc)) && !strcmp(name, other + strlen(libc));
}

static bool branches_to(const struct elfobj *e, csh cs, const struct site *s, uint64_t vaddr)
{
	struct body b = {.elf = e, .cs = cs};
	bool found = false;

	if (body_read(&b, &s->func))
		return false;
	for (size_t i = 0; i < b.n && !found; i++)
		found = insn__branch_target(&b.insn[i]) == vaddr;
	body_free(&b);
	return found;
}

/* musl's malloc and __libc_malloc are two names of one: neither leads to the other. */
static bool lies_over_any(const struct elfobj *e, csh cs, const struct site *s,
			  const struct site *sites, size_t n)
{
	for (size_t i = 0; i < n && !s->wrapper && s->kind != SITE_NONE; i++) {
		if (lies_over(s->func.name, sites[i].func.name) &&
		    (!strncmp(s->func.name, "__wrap_", 7) ||
		     branches_to(e, cs, s, sites[i].func.vaddr)))
			return true;
	}
	return false;
}

/* all: the file refers to other files' allocators. */
static void note_layer(struct elfobj *e, csh cs, struct site *sites, size_t n, bool all)
{
	struct layer_range code[LAYER_RANGES];
	cleanup_free struct alloc_func *over = calloc(n ? n : 1, sizeof(*over));
	cleanup_free struct alloc_func *below = calloc(n ? n : 1, sizeof(*below));
	cleanup_free bool *is_over = calloc(n ? n : 1, sizeof(*is_over));
	size_t nover = 0, nbelow = 0, ncode;

	if (!over || !below || !is_over)
		return;
	for (size_t i = 0; i < n; i++) {
		is_over[i] = all || lies_over_any(e, cs, &sites[i], sites, n);
		if (is_over[i])
			over[nover++] = sites[i].func;
		else
			below[nbelow++] = sites[i].func;
	}
	ncode = nover ? layer__code(e, cs, over, nover, below, nbelow, code) : 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_over[i])
			continue;
		sites[i].nlayer = ncode;
		for (size_t k = 0; k < ncode; k++) {
			sites[i].layer[k].lo = code[k].start - sites[i].vaddr;
			sites[i].layer[k].hi = code[k].end - sites[i].vaddr;
		}
	}
}

/* The callers of a function are those of every other to which it may leave by a jump. */
static bool pass_callers_on(struct body *b, const struct plt *plt, struct site *sites, size_t n,
			    const struct site *s)
{
	bool more = false;

	for (size_t i = 0; i < b->n; i++) {
		struct site *to = insn__in_group(&b->insn[i], CS_GRP_JUMP)
					  ? onward_of(b, plt, sites, n, &b->insn[i]).site
					  : NULL;
		size_t had = to ? to->ncallers : 0;

		for (size_t c = 0; to && to != s && c < s->ncallers; c++)
			note_caller(to, s->caller[c].lo, s->caller[c].hi);
		more |= to && to->ncallers > had;
	}
	return more;
}

/* mi_new_aligned calls mi_malloc_aligned, which leaves for mi_heap_malloc_aligned, which leaves for
 * mi_heap_malloc_small or mi_heap_malloc_aligned_at. */
static void note_calls_through_jumps(struct body *b, const struct plt *plt, struct site *sites,
				     size_t n)
{
	bool more = true;

	for (int step = 0; step < MAX_JUMPS && more; step++) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			if (sites[i].unproved || !sites[i].ncallers || body_read(b, &sites[i].func))
				continue;
			more |= pass_callers_on(b, plt, sites, n, &sites[i]);
			body_free(b);
		}
	}
}

static bool in_family(void *arg, uint64_t from)
{
	const struct callee_arg *c = arg;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->sites[i].unproved && from - c->sites[i].func.vaddr < c->sites[i].func.size)
			return true;
	}
	return false;
}

/* What the function at `start` calls of the family is called by those that jump there, if it is
 * theirs alone. True: it does. */
static bool note_tail(struct elfobj *e, struct callee_arg *arg, uint64_t start)
{
	struct alloc_func at = {.vaddr = start, .size = MAX_BODY};
	struct body code = {.elf = e, .cs = arg->b->cs};
	uint64_t end = 0;
	bool calls = false;

	if (body_read(&code, &at))
		return false;
	for (size_t i = 0; i < code.n; i++) {
		const cs_insn *in = &code.insn[i];
		struct onward o = {0};

		if (insn__in_group(in, CS_GRP_CALL))
			o = onward_of(&code, arg->plt, arg->sites, arg->n, in);
		if (!o.site)
			continue;
		if (!end) {
			end = tail__end(e, start);
			if (in->address < end && !tail__is_theirs(e, start, end, in_family, arg))
				end = 0;
		}
		if (in->address >= end)
			break;
		note_caller(o.site, start, end);
		calls = true;
	}
	body_free(&code);
	return calls;
}

/* mi_heap_realloc_aligned leaves for a function of no name, which calls
 * mi_heap_malloc_aligned_at. */
static void note_calls_of_tails(struct elfobj *e, struct body *b, const struct plt *plt,
				struct site *sites, size_t n)
{
	struct callee_arg arg = {.b = b, .plt = plt, .sites = sites, .n = n};
	struct {
		uint64_t start;
		bool calls;
	} seen[MAX_TAILS];
	size_t nseen = 0, at;

	for (size_t i = 0; i < n; i++) {
		if (sites[i].unproved || sites[i].wrapper || body_read(b, &sites[i].func))
			continue;
		for (size_t k = 0; k < b->n; k++) {
			const cs_insn *in = &b->insn[k];
			uint64_t to = insn__in_group(in, CS_GRP_JUMP) ? insn__branch_target(in) : 0;

			if (!to || in_family(&arg, to) || onward_of(b, plt, sites, n, in).fn)
				continue;
			for (at = 0; at < nseen && seen[at].start != to; at++)
				;
			if (at == MAX_TAILS)
				continue;
			if (at == nseen) {
				seen[nseen].start = to;
				seen[nseen++].calls = note_tail(e, &arg, to);
			}
			sites[i].calls_family |= seen[at].calls;
		}
		body_free(b);
	}
}

/* Where the code of a function begins that is only a jump to it. */
static uint64_t entry_of(const struct elfobj *e, uint64_t vaddr)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint8_t code[9];

	for (int i = 0; i < MAX_JUMPS && elfobj__read(e, vaddr, code, sizeof(code)) == sizeof(code);
	     i++) {
		size_t at = memcmp(code, endbr64, sizeof(endbr64)) ? 0 : sizeof(endbr64);
		int32_t rel;

		if (code[at] != 0xe9)
			break;
		memcpy(&rel, code + at + 1, sizeof(rel));
		vaddr += at + 5 + (int64_t)rel;
	}
	return vaddr;
}

/*
 * Calls by another name of the same code: musl's malloc and __libc_malloc are jumps to a third
 * function, which its realloc calls. A stub lies there, and has to know them.
 */
static int note_calls_by_entry(struct body *b, struct site *sites, size_t n)
{
	cleanup_free uint64_t *entry = calloc(n ? n : 1, sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		entry[i] = entry_of(b->elf, sites[i].func.vaddr);
	for (size_t i = 0; i < n; i++) {
		if (sites[i].unproved || sites[i].wrapper || body_read(b, &sites[i].func))
			continue;
		for (size_t k = 0; k < b->n; k++) {
			uint64_t to = insn__in_group(&b->insn[k], CS_GRP_CALL)
					      ? insn__branch_target(&b->insn[k])
					      : 0;

			to = to ? entry_of(b->elf, to) : 0;
			for (size_t m = 0; to && m < n; m++) {
				if (m != i && entry[m] == to)
					note_caller(&sites[m], b->start, b->end);
			}
		}
		body_free(b);
	}
	return 0;
}

int site__choose(struct elfobj *e, const struct alloc_func *funcs, size_t n, struct site **ret)
{
	struct body b = {.elf = e};
	struct plt plt;
	struct site *sites;
	int err;

	if (elfobj__machine(e) != EM_X86_64)
		return -EOPNOTSUPP;
	sites = calloc(n ? n : 1, sizeof(*sites));
	if (!sites)
		return -ENOMEM;
	err = plt__load(e, false, &plt);
	if (!err && cs_open(CS_ARCH_X86, CS_MODE_64, &b.cs)) {
		plt__free(&plt);
		err = -ENOMEM;
	}
	if (err) {
		free(sites);
		return err;
	}
	cs_option(b.cs, CS_OPT_DETAIL, CS_OPT_ON);
	for (size_t i = 0; i < n; i++) {
		sites[i].func = funcs[i];
		sites[i].why = "";
		note_thread_cache(e, &sites[i]);
	}
	check_signatures(&b, &plt, sites, n);
	for (size_t i = 0; i < n; i++) {
		struct site *s = &sites[i];

		if (s->unproved)
			continue;
		if (body_read(&b, &s->func)) {
			s->kind = SITE_NONE;
			s->why = "its code cannot be decoded";
			continue;
		}
		choose_one(&b, s);
		if (s->kind != SITE_NONE && !elfobj__vaddr_to_off(e, s->vaddr, &s->off))
			s->kind = SITE_NONE;
		scan_calls(&b, &plt, s, sites, n);
		body_free(&b);
	}
	err = note_calls_by_entry(&b, sites, n);
	note_calls_of_tails(e, &b, &plt, sites, n);
	note_calls_through_jumps(&b, &plt, sites, n);
	for (size_t i = 0; i < n; i++) {
		for (size_t c = 0; c < sites[i].ncallers; c++) {
			sites[i].caller[c].lo -= sites[i].vaddr;
			sites[i].caller[c].hi -= sites[i].vaddr;
		}
	}
	note_layer(e, b.cs, sites, n, plt.imports);
	cs_close(&b.cs);
	plt__free(&plt);
	if (err)
		free(sites);
	else
		*ret = sites;
	return err;
}
