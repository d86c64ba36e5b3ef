/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/dwarfinfo.h"

#include "core/util.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <libelf.h>
#include <string.h>

#define MAX_UNITS (1u << 20)
#define MAX_STEPS (64u << 20) /* entries and ranges looked at while one unit is listed */
#define MAX_DEPTH 64	      /* of nested scopes */
#define MAX_WALK (4u << 20)   /* entries looked at for one address */

struct dwarf_range {
	uint64_t lo, hi; /* [lo, hi) */
	uint64_t max_hi; /* of this and all before it, once sorted */
	uint64_t key;	 /* units: index; functions: offset of the entry in .debug_info */
};

struct ranges { /* sorted by lo; may overlap in damaged files */
	struct dwarf_range *v;
	size_t n, cap;
};

struct dwarf_unit {
	Dwarf_Off off;
	bool listed, deep; /* functions listed; also those inside functions */
	bool skeleton;	   /* the functions are in another file */
	struct ranges funcs;
};

struct dwarfinfo {
	Elf *elf, *alt_elf;
	Dwarf *dw, *alt;
	struct dwarf_unit *units;
	size_t nunits, units_cap;
	bool split;	       /* a skeleton was asked for an address of its own */
	struct ranges by_addr; /* key: unit */
};

static int by_lo(const void *pa, const void *pb)
{
	const struct dwarf_range *a = pa, *b = pb;

	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	if (a->hi != b->hi) /* the smaller, inner one is found first when looking backwards */
		return a->hi > b->hi ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

static void ranges__sort(struct ranges *r)
{
	uint64_t hi = 0;

	if (!r->n)
		return;
	qsort(r->v, r->n, sizeof(*r->v), by_lo);
	for (size_t i = 0; i < r->n; i++) {
		hi = max_of(hi, r->v[i].hi);
		r->v[i].max_hi = hi;
	}
}

/* The next range that holds addr, looking backwards from *at (SIZE_MAX: start); NULL at the end. */
static const struct dwarf_range *ranges__next(const struct ranges *r, uint64_t addr, size_t *at)
{
	size_t lo = 0, hi = r->n;

	if (*at == SIZE_MAX) {
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (r->v[mid].lo <= addr)
				lo = mid + 1;
			else
				hi = mid;
		}
		*at = lo;
	}
	while (*at > 0) {
		const struct dwarf_range *v = &r->v[--*at];

		if (v->max_hi <= addr)
			break;
		if (addr < v->hi)
			return v;
	}
	*at = 0;
	return NULL;
}

/* Adds the address ranges of an entry; steps is the limit on work that is left. */
static int add_ranges(struct ranges *r, Dwarf_Die *die, uint64_t key, uint32_t *steps)
{
	Dwarf_Addr base = 0, lo, hi;
	ptrdiff_t off = 0;

	while ((off = dwarf_ranges(die, off, &base, &lo, &hi)) > 0) {
		int err;

		if (!*steps || !--*steps)
			return -EBADMSG;
		if (lo >= hi)
			continue;
		/* functions that the linker dropped have their addresses at zero */
		if (!lo)
			continue;
		err = array_reserve(r->v, r->cap, r->n + 1);
		if (err)
			return err;
		r->v[r->n++] = (struct dwarf_range){.lo = lo, .hi = hi, .key = key};
	}
	return 0;
}

static int list_units(struct dwarfinfo *d)
{
	uint32_t steps = MAX_STEPS;
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t type;
	int err = 0;

	while (!err && dwarf_get_units(d->dw, cu, &cu, NULL, &type, &die, NULL) == 0) {
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		if (d->nunits >= MAX_UNITS)
			break;
		err = array_reserve(d->units, d->units_cap, d->nunits + 1);
		if (err)
			break;
		d->units[d->nunits] = (struct dwarf_unit){.off = dwarf_dieoffset(&die),
							  .skeleton = type == DW_UT_skeleton};
		err = add_ranges(&d->by_addr, &die, d->nunits++, &steps);
	}
	ranges__sort(&d->by_addr);
	return err == -EBADMSG ? 0 : err; /* what was read before the damage serves */
}

int dwarfinfo__open(int fd, int alt_fd, struct dwarfinfo **ret)
{
	struct dwarfinfo *d = calloc(1, sizeof(*d));
	int err = -EBADMSG;

	if (!d)
		return -ENOMEM;
	if (elf_version(EV_CURRENT) == EV_NONE)
		goto out;
	d->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!d->elf)
		goto out;
	d->dw = dwarf_begin_elf(d->elf, DWARF_C_READ, NULL);
	if (!d->dw) {
		err = -ENODATA;
		goto out;
	}
	if (alt_fd >= 0) {
		d->alt_elf = elf_begin(alt_fd, ELF_C_READ, NULL);
		d->alt = d->alt_elf ? dwarf_begin_elf(d->alt_elf, DWARF_C_READ, NULL) : NULL;
		if (d->alt)
			dwarf_setalt(d->dw, d->alt);
	}
	err = list_units(d);
out:
	if (err)
		dwarfinfo__close(d);
	else
		*ret = d;
	return err;
}

void dwarfinfo__close(struct dwarfinfo *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->nunits; i++)
		free(d->units[i].funcs.v);
	free(d->units);
	free(d->by_addr.v);
	if (d->dw)
		dwarf_end(d->dw);
	if (d->alt)
		dwarf_end(d->alt);
	if (d->elf)
		elf_end(d->elf);
	if (d->alt_elf)
		elf_end(d->alt_elf);
	free(d);
}

/* The next sibling, only forwards: an offset that does not grow is a loop. */
static bool next_sibling(Dwarf_Die *die)
{
	Dwarf_Off was = dwarf_dieoffset(die);

	return dwarf_siblingof(die, die) == 0 && dwarf_dieoffset(die) > was;
}

struct dwarf_walk {
	struct ranges *funcs;
	bool deep; /* into functions as well */
	uint32_t steps;
};

static bool may_hold_functions(int tag, bool deep)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_imported_unit: return true;
	case DW_TAG_subprogram:
	case DW_TAG_lexical_block:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type: return deep;
	}
	return false;
}

static int list_functions(struct dwarf_walk *w, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die;
	int err;

	if (depth > MAX_DEPTH || dwarf_child(parent, &die))
		return 0;
	do {
		int tag = dwarf_tag(&die);

		if (!w->steps || !--w->steps)
			return -EBADMSG;
		if (tag == DW_TAG_subprogram) {
			err = add_ranges(w->funcs, &die, dwarf_dieoffset(&die), &w->steps);
			if (err)
				return err;
		}
		if (may_hold_functions(tag, w->deep)) {
			err = list_functions(w, &die, depth + 1);
			if (err)
				return err;
		}
	} while (next_sibling(&die));
	return 0;
}

/* Lists the functions of a unit: those at its top first, the nested ones when one is missed. */
static int list_unit(struct dwarfinfo *d, struct dwarf_unit *u, bool deep)
{
	struct dwarf_walk w = {.funcs = &u->funcs, .deep = deep, .steps = MAX_STEPS};
	Dwarf_Die die;
	int err;

	u->funcs.n = 0;
	u->listed = true;
	u->deep = deep;
	if (!dwarf_offdie(d->dw, u->off, &die))
		return -EBADMSG;
	err = list_functions(&w, &die, 0);
	ranges__sort(&u->funcs);
	return err == -EBADMSG ? 0 : err;
}

static const struct dwarf_range *find_function(struct dwarfinfo *d, struct dwarf_unit *u,
					       uint64_t vaddr)
{
	const struct dwarf_range *r;
	size_t at = SIZE_MAX;

	if (!u->listed && list_unit(d, u, false))
		return NULL;
	r = ranges__next(&u->funcs, vaddr, &at);
	if (r || u->deep)
		return r;
	if (list_unit(d, u, true))
		return NULL;
	at = SIZE_MAX;
	return ranges__next(&u->funcs, vaddr, &at);
}

/*
 * The chain of inlined calls at vaddr, outermost first, into chain[0..max). Lexical blocks are
 * walked through; Go has them beside the calls inlined in them, so that one that holds vaddr need
 * not hold the call. Returns how many.
 */
static int inline_chain(Dwarf_Die *scope, uint64_t vaddr, Dwarf_Die *chain, int max,
			uint32_t *steps, int depth)
{
	Dwarf_Die die;

	if (max < 1 || depth > 4 * MAX_DEPTH || dwarf_child(scope, &die))
		return 0;
	do {
		int tag = dwarf_tag(&die), n;

		if (!*steps || !--*steps)
			return 0;
		if ((tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) ||
		    dwarf_haspc(&die, vaddr) <= 0)
			continue;
		if (tag == DW_TAG_inlined_subroutine) {
			*chain = die;
			return 1 + inline_chain(&die, vaddr, chain + 1, max - 1, steps, depth + 1);
		}
		n = inline_chain(&die, vaddr, chain, max, steps, depth + 1);
		if (n)
			return n;
	} while (next_sibling(&die));
	return 0;
}

static const char *name_of(Dwarf_Die *die, bool *ret_plain)
{
	static const unsigned int names[] = {DW_AT_linkage_name, DW_AT_MIPS_linkage_name,
					     DW_AT_name};
	Dwarf_Attribute attr;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *s = dwarf_formstring(dwarf_attr_integrate(die, names[i], &attr));

		*ret_plain = names[i] == DW_AT_name;
		if (s && *s)
			return s;
	}
	return NULL;
}

static uint32_t number_of(Dwarf_Die *die, unsigned int at)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;

	if (dwarf_formudata(dwarf_attr_integrate(die, at, &attr), &v) || v > INT32_MAX)
		return 0;
	return v;
}

static const char *call_file(Dwarf_Die *cu, Dwarf_Die *inlined)
{
	Dwarf_Attribute attr;
	Dwarf_Files *files;
	Dwarf_Word idx;
	size_t n;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &idx) ||
	    dwarf_getsrcfiles(cu, &files, &n) || idx >= n)
		return NULL;
	return dwarf_filesrc(files, idx, NULL, NULL);
}

static uint32_t call_line(Dwarf_Die *inlined)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &v) || v > INT32_MAX)
		return 0;
	return v;
}

static void source_line(Dwarf_Die *cu, uint64_t vaddr, struct dwarfinfo_frame *f)
{
	Dwarf_Line *line = dwarf_getsrc_die(cu, vaddr);
	int nr;

	if (!line)
		return;
	f->file = dwarf_linesrc(line, NULL, NULL);
	if (!dwarf_lineno(line, &nr) && nr > 0)
		f->line = nr;
}

/* Source names may be relative to the directory of the compilation. */
static void add_dirs(Dwarf_Die *cu, struct dwarfinfo_frame *frames, int n)
{
	const char *dir = NULL;
	Dwarf_Attribute attr;

	for (int i = 0; i < n; i++) {
		if (!frames[i].file || frames[i].file[0] == '/')
			continue;
		if (!dir)
			dir = dwarf_formstring(dwarf_attr(cu, DW_AT_comp_dir, &attr));
		frames[i].dir = dir;
	}
}

static int frames_in_unit(struct dwarfinfo *d, struct dwarf_unit *u, uint64_t vaddr,
			  struct dwarfinfo_frame *frames, int max)
{
	Dwarf_Die cu, func, chain[MAX_DEPTH];
	const struct dwarf_range *r = find_function(d, u, vaddr);
	struct dwarfinfo_frame at = {0};
	uint32_t steps = MAX_WALK;
	int n = 0, out = 0;

	if (!dwarf_offdie(d->dw, u->off, &cu))
		return 0;
	source_line(&cu, vaddr, &at);
	if (!r || !dwarf_offdie(d->dw, r->key, &func)) {
		frames[0] = at;
		add_dirs(&cu, frames, 1);
		return at.file ? 1 : 0;
	}
	n = inline_chain(&func, vaddr, chain, min_of(max - 1, MAX_DEPTH), &steps, 0);
	for (int i = n - 1; i >= -1; i--) { /* innermost first, the function itself last */
		Dwarf_Die *die = i >= 0 ? &chain[i] : &func;

		at.name = name_of(die, &at.plain);
		at.start_line = number_of(die, DW_AT_decl_line);
		at.inlined = i >= 0;
		frames[out++] = at;
		if (i >= 0) {
			at.file = call_file(&cu, die);
			at.line = call_line(die);
		}
	}
	add_dirs(&cu, frames, out);
	return out;
}

int dwarfinfo__lookup(struct dwarfinfo *d, uint64_t vaddr, struct dwarfinfo_frame *frames, int max)
{
	const struct dwarf_range *r;
	size_t at = SIZE_MAX;
	int best = 0;

	if (max < 1)
		return 0;
	/* Units rarely overlap; where they do, the one with a function there knows more. */
	for (int tries = 0; tries < 4; tries++) {
		r = ranges__next(&d->by_addr, vaddr, &at);
		if (!r)
			break;
		d->split |= d->units[r->key].skeleton;
		best = frames_in_unit(d, &d->units[r->key], vaddr, frames, max);
		if (best > 0 && frames[best - 1].name)
			break;
	}
	return best;
}

bool dwarfinfo__split(const struct dwarfinfo *d)
{
	return d->split;
}
