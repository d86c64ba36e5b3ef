/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/symtab.h"

#include "core/util.h"

#include <elf.h>
#include <string.h>

#define MAX_SYMBOLS (8u << 20)
#define MAX_NESTED 64	 /* starts looked back at for a symbol that covers the address */
#define MAX_ALIASES 4096 /* names of one address that are looked at */

/* The rank: bits, most important first. */
enum { RANK_LABEL = 32, RANK_RESERVED = 8, RANK_UNDERSCORE = 4, RANK_LOCAL = 2, RANK_WEAK = 1 };

struct add_ctx {
	struct symtab *t;
	const struct elfobj_segment *seg;
	size_t nseg;
};

static uint8_t rank_of(const struct elfobj_symbol *s)
{
	uint8_t r = s->type == STT_NOTYPE ? RANK_LABEL : 0;

	/* mangled names start with underscores for another reason */
	if (s->name[0] == '_' && s->name[1] == '_')
		r |= RANK_RESERVED;
	else if (s->name[0] == '_' && s->name[1] != 'Z' && s->name[1] != 'R' && s->name[1] != 'D')
		r |= RANK_UNDERSCORE;
	if (s->bind == STB_LOCAL)
		r |= RANK_LOCAL;
	else if (s->bind == STB_WEAK)
		r |= RANK_WEAK;
	return r;
}

static const struct elfobj_segment *exec_segment(const struct add_ctx *c, uint64_t vaddr)
{
	for (size_t i = 0; i < c->nseg; i++) {
		const struct elfobj_segment *s = &c->seg[i];

		if ((s->flags & PF_X) && vaddr >= s->vaddr && vaddr - s->vaddr < s->memsz)
			return s;
	}
	return NULL;
}

static int append(struct symtab *t, const struct symtab_symbol *s)
{
	int err;

	if (t->n >= MAX_SYMBOLS)
		return -E2BIG;
	err = array_reserve(t->syms, t->cap, t->n + 1);
	if (!err)
		t->syms[t->n++] = *s;
	return err;
}

static int add_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct add_ctx *c = arg;
	const struct elfobj_segment *seg;
	struct symtab_symbol s;

	if (sym->type != STT_FUNC && sym->type != STT_GNU_IFUNC && sym->type != STT_NOTYPE)
		return 0;
	if (sym->name[0] == '$') /* arm64 marks code and data with $x and $d */
		return 0;
	seg = exec_segment(c, sym->vaddr);
	if (!seg)
		return 0;
	s.start = sym->vaddr;
	s.end = sym->vaddr + min_of(sym->size, seg->vaddr + seg->memsz - sym->vaddr);
	s.name = sym->name;
	s.rank = rank_of(sym);
	return append(c->t, &s);
}

int symtab__add(struct symtab *t, const struct elfobj *e, const struct elfobj *exec)
{
	struct add_ctx c = {.t = t};

	c.nseg = elfobj__segments(exec, &c.seg);
	return elfobj__each_symbol(e, add_symbol, &c);
}

static int by_start(const void *pa, const void *pb)
{
	const struct symtab_symbol *a = pa, *b = pb;
	size_t la, lb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	la = strnlen(a->name, 4096);
	lb = strnlen(b->name, 4096);
	if (la != lb)
		return la < lb ? -1 : 1;
	return -strncmp(a->name, b->name, 4096); /* _exit before _Exit */
}

/*
 * A symbol without a size (hand-written assembly) ends where the next one starts, unless a sized
 * one contains it: then it is a label and says less than its function.
 */
static void close_unsized(struct symtab *t)
{
	uint64_t covered = 0, alias_end = 0;
	size_t out = 0, next = 0; /* the first symbol behind those with the same start */

	for (size_t i = 0; i < t->n; i++) {
		struct symtab_symbol s = t->syms[i];

		if (i == next) {
			alias_end = s.end;
			for (next = i + 1; next < t->n && t->syms[next].start == s.start; next++)
				alias_end = max_of(alias_end, t->syms[next].end);
		}
		if (s.end == s.start) {
			if (s.start < covered)
				continue;
			if (alias_end > s.start)
				s.end = alias_end;
			else
				s.end = next < t->n ? t->syms[next].start : s.start + 1;
		} else {
			covered = max_of(covered, s.end);
		}
		t->syms[out++] = s;
	}
	t->n = out;
}

int symtab__sort(struct symtab *t)
{
	uint64_t end = 0;
	size_t out = 0;

	if (!t->n)
		return 0;
	qsort(t->syms, t->n, sizeof(*t->syms), by_start);
	for (size_t i = 0; i < t->n; i++) { /* .dynsym repeats in .symtab */
		if (out && t->syms[out - 1].start == t->syms[i].start &&
		    t->syms[out - 1].end == t->syms[i].end &&
		    !strcmp(t->syms[out - 1].name, t->syms[i].name))
			continue;
		t->syms[out++] = t->syms[i];
	}
	t->n = out;
	close_unsized(t);
	free(t->max_end);
	t->max_end = malloc(t->n * sizeof(*t->max_end));
	if (!t->max_end)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		end = max_of(end, t->syms[i].end);
		t->max_end[i] = end;
	}
	return 0;
}

void symtab__clear(struct symtab *t)
{
	for (size_t i = 0; i < t->nowned; i++)
		free(t->owned[i]);
	free(t->owned);
	free(t->syms);
	free(t->max_end);
	memset(t, 0, sizeof(*t));
}

/* How many of the symbols before `end` start below `start`. */
static size_t starts_below(const struct symtab *t, uint64_t start, size_t end)
{
	size_t lo = 0;

	while (lo < end) {
		size_t mid = lo + (end - lo) / 2;

		if (t->syms[mid].start < start)
			lo = mid + 1;
		else
			end = mid;
	}
	return lo;
}

const struct symtab_symbol *symtab__find(const struct symtab *t, uint64_t vaddr)
{
	size_t lo = vaddr == UINT64_MAX ? t->n : starts_below(t, vaddr + 1, t->n);

	for (int looked = 0; lo > 0 && looked < MAX_NESTED; looked++) {
		size_t i = lo - 1;

		if (t->max_end[i] <= vaddr)
			return NULL;
		i = starts_below(t, t->syms[i].start, lo);
		for (size_t k = i; k < min_of(lo, i + MAX_ALIASES); k++) { /* best name first */
			if (vaddr < t->syms[k].end)
				return &t->syms[k];
		}
		lo = i;
	}
	return NULL;
}

bool symtab__has_alias(const struct symtab *t, const struct symtab_symbol *s, const char *name)
{
	size_t first = starts_below(t, s->start, s - t->syms + 1);

	for (size_t i = first; i < min_of(t->n, first + MAX_ALIASES); i++) {
		if (t->syms[i].start != s->start)
			break;
		if (!strcmp(t->syms[i].name, name))
			return true;
	}
	return false;
}

/* Procedure linkage table */

struct plt_reloc {
	uint64_t got;
	const char *name;
};

struct plt_ctx {
	struct symtab *t;
	const struct elfobj *e;
	const uint8_t *syms, *strs, *rela[2];
	size_t syms_len, strs_len, rela_len[2]; /* [0] .rela.plt, [1] .rela.dyn */
	struct plt_reloc *slots;		/* by got */
	size_t n, cap;
};

static const char *reloc_name(const struct plt_ctx *c, const Elf64_Rela *r)
{
	uint64_t idx = ELF64_R_SYM(r->r_info);
	Elf64_Sym sym;

	if (!idx || idx >= c->syms_len / sizeof(sym))
		return NULL;
	memcpy(&sym, c->syms + idx * sizeof(sym), sizeof(sym));
	return sym.st_name && sym.st_name < c->strs_len ? (const char *)c->strs + sym.st_name
							: NULL;
}

static int collect_slots(struct plt_ctx *c, int which)
{
	for (size_t at = 0; c->rela_len[which] - at >= sizeof(Elf64_Rela);
	     at += sizeof(Elf64_Rela)) {
		Elf64_Rela r;
		uint32_t type;
		const char *name;
		int err;

		memcpy(&r, c->rela[which] + at, sizeof(r));
		type = ELF64_R_TYPE(r.r_info);
		if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
			continue;
		name = reloc_name(c, &r);
		if (!name || c->n >= MAX_SYMBOLS)
			continue;
		err = array_reserve(c->slots, c->cap, c->n + 1);
		if (err)
			return err;
		c->slots[c->n++] = (struct plt_reloc){r.r_offset, name};
	}
	return 0;
}

static int by_got(const void *a, const void *b)
{
	uint64_t x = ((const struct plt_reloc *)a)->got, y = ((const struct plt_reloc *)b)->got;

	return x < y ? -1 : x > y;
}

static const char *slot_name(const struct plt_ctx *c, uint64_t got)
{
	struct plt_reloc key = {.got = got}, *r;

	r = c->n ? bsearch(&key, c->slots, c->n, sizeof(key), by_got) : NULL;
	return r ? r->name : NULL;
}

/* What a stub jumps to: through its slot (jmp *disp(%rip)), or, where the slot is in the second
 * table, by the relocation's number that the first pushes. */
static const char *stub_target(const struct plt_ctx *c, const uint8_t *p, size_t len,
			       uint64_t vaddr)
{
	for (size_t i = 0; i + 6 <= len; i++) {
		int32_t disp;

		if (p[i] != 0xff || p[i + 1] != 0x25)
			continue;
		memcpy(&disp, p + i + 2, 4);
		return slot_name(c, vaddr + i + 6 + (int64_t)disp);
	}
	for (size_t i = 0; i + 5 <= len && i <= 4; i += 4) { /* endbr64 before it, or not */
		uint32_t n;
		Elf64_Rela r;

		if (p[i] != 0x68)
			continue;
		memcpy(&n, p + i + 1, 4);
		if (n >= c->rela_len[0] / sizeof(r))
			return NULL;
		memcpy(&r, c->rela[0] + (size_t)n * sizeof(r), sizeof(r));
		return reloc_name(c, &r);
	}
	return NULL;
}

static int add_stub(struct plt_ctx *c, const char *target, uint64_t vaddr, size_t len)
{
	struct symtab_symbol s = {.start = vaddr, .end = vaddr + len};
	char *name;
	int err = array_reserve(c->t->owned, c->t->owned_cap, c->t->nowned + 1);

	if (err)
		return err;
	if (asprintf(&name, "%.4000s@plt", target) < 0)
		return -ENOMEM;
	c->t->owned[c->t->nowned++] = name;
	s.name = name;
	return append(c->t, &s);
}

static int scan_stubs(struct plt_ctx *c, const char *section, size_t stride)
{
	const uint8_t *p;
	size_t len;
	uint64_t vaddr;
	int err = elfobj__section(c->e, section, &p, &len, &vaddr);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (len >= 16 && !memcmp(p, "\xf3\x0f\x1e\xfa", 4)) /* endbr64 makes the short ones long */
		stride = 16;
	for (size_t at = 0; len - at >= stride; at += stride) {
		const char *target = stub_target(c, p + at, stride, vaddr + at);

		err = target ? add_stub(c, target, vaddr + at, stride) : 0;
		if (err)
			return err;
	}
	return 0;
}

int symtab__add_plt(struct symtab *t, const struct elfobj *e)
{
	struct plt_ctx c = {.t = t, .e = e};
	int err;

	if (elfobj__machine(e) != EM_X86_64)
		return 0;
	if (elfobj__section(e, ".dynsym", &c.syms, &c.syms_len, NULL) ||
	    elfobj__section(e, ".dynstr", &c.strs, &c.strs_len, NULL))
		return 0; /* static: nothing to link */
	elfobj__section(e, ".rela.plt", &c.rela[0], &c.rela_len[0], NULL);
	elfobj__section(e, ".rela.dyn", &c.rela[1], &c.rela_len[1], NULL);
	err = collect_slots(&c, 0);
	if (!err)
		err = collect_slots(&c, 1);
	if (!err && c.n)
		qsort(c.slots, c.n, sizeof(*c.slots), by_got);
	if (!err)
		err = scan_stubs(&c, ".plt", 16);
	if (!err)
		err = scan_stubs(&c, ".plt.sec", 16);
	if (!err)
		err = scan_stubs(&c, ".plt.got", 8);
	free(c.slots);
	return err;
}
