/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/layer_priv.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/ehframe.h"
#include "elf/insn.h"

#define MAX_BODIES 64	 /* functions that are looked at */
#define MAX_BODY 8192	 /* bytes of one */
#define JOIN_GAP 64	 /* ranges so near to each other become one */
#define MARKER_ROW(name) #name,

struct range {
	uint64_t start, end;
};

struct walk {
	const struct elfobj *elf;
	csh cs;
	struct ehframe eh;
	bool have_eh;
	struct range bodies[MAX_BODIES];
	size_t n;
};

struct facts {
	bool own;	/* a known allocator */
	bool stands_in; /* defines malloc itself */
};

static int on_symbol(void *arg, const struct elfobj_symbol *sym)
{
	static const char *const markers[] = {MW_ALLOC_MARKERS(MARKER_ROW)};
	struct facts *f = arg;

	for (size_t i = 0; i < ARRAY_SIZE(markers) && !f->own; i++)
		f->own = !strcmp(sym->name, markers[i]);
	f->stands_in |= !strcmp(sym->name, "malloc");
	return 0;
}

/* The function at vaddr, by its frame description. */
static bool extent(const struct walk *w, uint64_t vaddr, struct range *ret)
{
	for (size_t i = 0; w->have_eh && i < w->eh.n_fdes; i++) {
		const struct ehframe_fde *fde = &w->eh.fdes[i];

		if (vaddr >= fde->start && vaddr - fde->start < fde->len) {
			*ret = (struct range){fde->start, fde->start + fde->len};
			return true;
		}
	}
	return false;
}

static void add_body(struct walk *w, struct range r)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->bodies[i].start == r.start)
			return;
	}
	if (w->n < MAX_BODIES)
		w->bodies[w->n++] = r;
}

static void look_into(struct walk *w, struct range r)
{
	uint8_t code[MAX_BODY];
	size_t got = elfobj__read(w->elf, r.start, code, min_of(r.end - r.start, sizeof(code)));
	const uint8_t *p = code;
	uint64_t addr = r.start;
	cs_insn *in = cs_malloc(w->cs);

	while (in && got && cs_disasm_iter(w->cs, &p, &got, &addr, in)) {
		uint64_t to = insn__branch_target(in);
		struct range callee;

		if (to && (to < r.start || to >= r.end) && extent(w, to, &callee))
			add_body(w, callee);
	}
	if (in)
		cs_free(in, 1);
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sorts, and joins what is near, until it is few enough for a site. */
static size_t join(struct range *r, size_t n)
{
	qsort(r, n, sizeof(*r), by_start);
	for (uint64_t gap = JOIN_GAP;; gap *= 4) {
		size_t kept = 0;

		for (size_t i = 1; i < n; i++) {
			if (r[i].start <= r[kept].end || r[i].start - r[kept].end <= gap)
				r[kept].end = r[kept].end > r[i].end ? r[kept].end : r[i].end;
			else
				r[++kept] = r[i];
		}
		n = n ? kept + 1 : 0;
		if (n <= SITE_LAYER)
			return n;
	}
}

static size_t whole_code(const struct elfobj *e, struct range *ret)
{
	const struct elfobj_segment *seg;
	size_t nseg = elfobj__segments(e, &seg), n = 0;

	for (size_t i = 0; i < nseg && n < MAX_BODIES; i++) {
		if (seg[i].flags & PF_X)
			ret[n++] = (struct range){seg[i].vaddr, seg[i].vaddr + seg[i].memsz};
	}
	return n;
}

static void called_code(struct walk *w, struct elfobj *e, const struct site *sites, size_t n)
{
	struct ehframe_section sec = {.arm64 = false};

	w->have_eh = !elfobj__section(e, ".eh_frame", &sec.data, &sec.len, &sec.vaddr) &&
		     !ehframe__read(&sec, &w->eh);
	for (size_t i = 0; i < n; i++) {
		const struct alloc_func *f = &sites[i].func;
		struct range r = {f->vaddr, f->vaddr + f->size};

		if (f->size || extent(w, f->vaddr, &r))
			add_body(w, r);
	}
	for (size_t i = 0; i < w->n; i++)
		look_into(w, w->bodies[i]);
	if (w->have_eh)
		ehframe__free(&w->eh);
}

void layer__note(struct elfobj *e, csh cs, struct site *sites, size_t n)
{
	cleanup_free struct walk *w = calloc(1, sizeof(*w));
	struct facts facts = {0};
	size_t nranges;

	elfobj__each_symbol(e, on_symbol, &facts);
	if (facts.own || !w)
		return;
	w->elf = e;
	w->cs = cs;
	if (facts.stands_in && elfobj__type(e) == ET_DYN && !elfobj__has_interp(e))
		w->n = whole_code(e, w->bodies);
	else
		called_code(w, e, sites, n);
	nranges = join(w->bodies, w->n);
	for (size_t i = 0; i < n; i++) {
		sites[i].nlayer = nranges;
		for (size_t k = 0; k < nranges; k++) {
			sites[i].layer[k].lo = w->bodies[k].start - sites[i].vaddr;
			sites[i].layer[k].hi = w->bodies[k].end - sites[i].vaddr;
		}
	}
}
