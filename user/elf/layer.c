/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/layer.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/ehframe.h"
#include "elf/insn.h"

#define MAX_BODIES 64 /* functions that are looked at */
#define MAX_BODY 8192 /* bytes of one */
#define OWN_DEPTH 2   /* calls from a layer that lies over its own file's allocator */
#define JOIN_GAP 64   /* ranges so near to each other become one */

struct walk {
	const struct elfobj *elf;
	csh cs;
	struct ehframe eh;
	bool have_eh;
	struct layer_range bodies[MAX_BODIES];
	size_t n, n_funcs; /* the first are the functions themselves */
	const struct alloc_func *below;
	size_t n_below;
};

static int on_symbol(void *arg, const struct elfobj_symbol *sym)
{
	bool *stands_in = arg; /* defines malloc itself */

	*stands_in |= !strcmp(sym->name, "malloc");
	return 0;
}

/* The function at vaddr, by its frame description. */
static bool extent(const struct walk *w, uint64_t vaddr, struct layer_range *ret)
{
	for (size_t i = 0; w->have_eh && i < w->eh.n_fdes; i++) {
		const struct ehframe_fde *fde = &w->eh.fdes[i];

		if (vaddr >= fde->start && vaddr - fde->start < fde->len) {
			*ret = (struct layer_range){fde->start, fde->start + fde->len};
			return true;
		}
	}
	return false;
}

static void add_body(struct walk *w, struct layer_range r)
{
	for (size_t i = 0; i < w->n_below; i++) {
		if (r.start == w->below[i].vaddr)
			return;
	}
	for (size_t i = 0; i < w->n; i++) {
		if (w->bodies[i].start == r.start)
			return;
	}
	if (w->n < MAX_BODIES)
		w->bodies[w->n++] = r;
}

static void look_into(struct walk *w, struct layer_range r)
{
	uint8_t code[MAX_BODY];
	size_t got = elfobj__read(w->elf, r.start, code, min_of(r.end - r.start, sizeof(code)));
	const uint8_t *p = code;
	uint64_t addr = r.start;
	cs_insn *in = cs_malloc(w->cs);

	while (in && got && cs_disasm_iter(w->cs, &p, &got, &addr, in)) {
		uint64_t to = insn__branch_target(in);
		struct layer_range callee;

		if (to && (to < r.start || to >= r.end) && extent(w, to, &callee))
			add_body(w, callee);
	}
	if (in)
		cs_free(in, 1);
}

static int by_start(const void *a, const void *b)
{
	const struct layer_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Joins what is nearer than gap; how many there are then. r is sorted. */
static size_t join_near(struct layer_range *r, size_t n, uint64_t gap)
{
	size_t kept = 0;

	for (size_t i = 1; i < n; i++) {
		if (r[i].start <= r[kept].end || r[i].start - r[kept].end <= gap)
			r[kept].end = r[kept].end > r[i].end ? r[kept].end : r[i].end;
		else
			r[++kept] = r[i];
	}
	return n ? kept + 1 : 0;
}

/* Sorts, and joins what is near, until it is few enough for a site. */
static size_t join(struct layer_range *r, size_t n)
{
	uint64_t gap = JOIN_GAP;

	qsort(r, n, sizeof(*r), by_start);
	while ((n = join_near(r, n, gap)) > LAYER_RANGES)
		gap *= 4;
	return n;
}

/* Where the program's own code lies around the layer nothing may be joined over it. */
static size_t join_closely(struct layer_range *r, size_t n, size_t n_funcs)
{
	struct layer_range all[MAX_BODIES];

	memcpy(all, r, n * sizeof(*r));
	qsort(all, n, sizeof(*all), by_start);
	n = join_near(all, n, JOIN_GAP);
	if (n > LAYER_RANGES)
		return join(r, n_funcs); /* not what they call */
	memcpy(r, all, n * sizeof(*r));
	return n;
}

static size_t whole_code(const struct elfobj *e, struct layer_range *ret)
{
	const struct elfobj_segment *seg;
	size_t nseg = elfobj__segments(e, &seg), n = 0;

	for (size_t i = 0; i < nseg && n < MAX_BODIES; i++) {
		if (seg[i].flags & PF_X)
			ret[n++] = (struct layer_range){seg[i].vaddr, seg[i].vaddr + seg[i].memsz};
	}
	return n;
}

static void called_code(struct walk *w, struct elfobj *e, const struct alloc_func *funcs, size_t n)
{
	struct ehframe_section sec = {.arm64 = false};

	w->have_eh = !elfobj__section(e, ".eh_frame", &sec.data, &sec.len, &sec.vaddr) &&
		     !ehframe__read(&sec, &w->eh);
	for (size_t i = 0; i < n; i++) {
		const struct alloc_func *f = &funcs[i];
		struct layer_range r = {f->vaddr, f->vaddr + f->size};

		if (f->size || extent(w, f->vaddr, &r))
			add_body(w, r);
	}
	w->n_funcs = w->n;
	for (size_t i = 0, depth = 0, level = w->n; i < w->n; i++) {
		if (i == level) {
			depth++;
			level = w->n;
		}
		if (!w->n_below || depth < OWN_DEPTH)
			look_into(w, w->bodies[i]);
	}
	if (w->have_eh)
		ehframe__free(&w->eh);
}

size_t layer__code(struct elfobj *e, csh cs, const struct alloc_func *funcs, size_t n,
		   const struct alloc_func *below, size_t n_below,
		   struct layer_range ret[LAYER_RANGES])
{
	cleanup_free struct walk *w = calloc(1, sizeof(*w));
	bool stands_in = false;
	size_t nranges;

	if (!w || allocs__is_allocator(e))
		return 0;
	elfobj__each_symbol(e, on_symbol, &stands_in);
	w->elf = e;
	w->cs = cs;
	w->below = below;
	w->n_below = n_below;
	if (stands_in && !n_below && elfobj__type(e) == ET_DYN && !elfobj__has_interp(e))
		w->n = whole_code(e, w->bodies);
	else
		called_code(w, e, funcs, n);
	nranges = n_below ? join_closely(w->bodies, w->n, w->n_funcs) : join(w->bodies, w->n);
	memcpy(ret, w->bodies, nranges * sizeof(*ret));
	return nranges;
}
