/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/unwind_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/unwind_code.h"
#include "elf/unwind_special.h"

#define DWARF_FP 6
#define DWARF_SP 7
#define PADDING 15     /* a shorter gap between functions is alignment, not code */
#define ENTRY_CODE 256 /* start-up code without unwind information, from e_entry on */
#define MAX_MARKS 32   /* signal trampolines and entry points in one gap */
#define SCAN_WINDOW (1 << 16)
#define SCAN_BUDGET (64u << 20) /* bytes of gaps searched for trampolines, in all */
#define MIN_CODE 512 /* a shorter gap is start-up code, or one function that calls none */
#define CODE_BUDGET (16u << 20) /* bytes of gaps whose instructions are followed, in all */

struct func { /* an FDE with its place in the file */
	uint64_t off, end;
	uint32_t seg, index;
	bool debug; /* from .debug_frame */
};

struct builder {
	const struct unwind_input *in;
	struct mw_unwind_row *rows;
	struct mw_unwind_side *sides;
	size_t n_rows, cap_rows, n_sides, cap_sides;
	uint64_t bias;	/* vaddr → offset, of the current function */
	uint64_t limit; /* rows from here on belong to the next function */
	bool saves_fp;	/* what Go's information leaves out; see emit */
	uint64_t scanned, followed;
	uint8_t *window;
	uint64_t *entries, *ends; /* of functions, once somebody asked */
	size_t n_entries, cap_entries, cap_ends;
	struct unwind_table_stats st;
};

static int add_row(struct builder *b, uint64_t off, uint16_t cfa, uint16_t fp)
{
	struct mw_unwind_row *last = b->n_rows ? &b->rows[b->n_rows - 1] : NULL;
	int err;

	if (last && last->off == off) {
		b->n_rows--;
		last = b->n_rows ? last - 1 : NULL;
	}
	if (last && last->cfa == cfa && (uint16_t)last->fp == fp)
		return 0;
	if (b->n_rows == UNWIND_TABLE_MAX_ROWS || off > UINT32_MAX)
		return -EFBIG;
	err = array_reserve(b->rows, b->cap_rows, b->n_rows + 1);
	if (err)
		return err;
	b->rows[b->n_rows++] = (struct mw_unwind_row){off, cfa, (int16_t)fp};
	return 0;
}

static int add_special(struct builder *b, uint64_t off, enum mw_unwind_special what, uint16_t more)
{
	b->st.stops += what == MW_UNWIND_STOP;
	b->st.signals += what == MW_UNWIND_SIGNAL;
	b->st.unsupported += what == MW_UNWIND_UNSUPPORTED;
	return add_row(b, off, MW_UNWIND_CFA(MW_UNWIND_SPECIAL, what), more);
}

static int add_side(struct builder *b, uint64_t off, const struct mw_unwind_side *side)
{
	uint32_t i = b->n_sides;
	int err;

	/* neighbours repeat: a function alternates between a few shapes */
	for (uint32_t back = 1; back <= 4 && back <= b->n_sides; back++) {
		if (!memcmp(&b->sides[b->n_sides - back], side, sizeof(*side)))
			i = b->n_sides - back;
	}
	if (i == b->n_sides) {
		err = array_reserve(b->sides, b->cap_sides, b->n_sides + 1);
		if (err)
			return err;
		b->sides[b->n_sides++] = *side;
	}
	return add_row(b, off, MW_UNWIND_CFA(MW_UNWIND_SIDE, i >> 16), i);
}

/* The frame pointer's rule in a row's 16 bits; false if it does not fit. */
static bool row_fp(const struct ehframe_rule *fp, uint16_t *ret)
{
	switch (fp->kind) {
	case EHFRAME_SAME:
	case EHFRAME_UNDEFINED: *ret = MW_UNWIND_FP_SAME; return true;
	case EHFRAME_OFFSET:
		*ret = (uint16_t)(fp->off / 8);
		return fp->off && !(fp->off & 7) && fp->off / 8 >= INT16_MIN &&
		       fp->off / 8 < MW_UNWIND_FP_DEREF;
	case EHFRAME_DEREF: *ret = MW_UNWIND_FP_DEREF; return fp->reg == DWARF_FP && !fp->off;
	default: return false;
	}
}

/* The CFA's rule in a row's 16 bits; false if it does not fit. */
static bool row_cfa(const struct ehframe_rule *cfa, uint16_t *ret)
{
	int32_t arg = cfa->off / 8;

	switch (cfa->kind) {
	case EHFRAME_PLT: *ret = MW_UNWIND_CFA(MW_UNWIND_PLT, cfa->off); return true;
	case EHFRAME_REG:
		*ret = MW_UNWIND_CFA(cfa->reg == DWARF_SP ? MW_UNWIND_SP : MW_UNWIND_FP, arg);
		return (cfa->reg == DWARF_SP || cfa->reg == DWARF_FP) && !(cfa->off & 7) &&
		       arg >= 0 && arg <= MW_UNWIND_MAX_ARG;
	case EHFRAME_DEREF:
		*ret = MW_UNWIND_CFA(MW_UNWIND_DEREF_FP, arg);
		return cfa->reg == DWARF_FP && !cfa->add && !(cfa->off & 7) && arg >= -4096 &&
		       arg < 4096;
	default: return false;
	}
}

/* Everything that a row cannot hold. False: not expressible at all. */
static bool side_of(const struct ehframe_state *s, struct mw_unwind_side *ret)
{
	*ret = (struct mw_unwind_side){0};
	switch (s->cfa.kind) {
	case EHFRAME_REG: ret->cfa_from = MW_FROM_REG; break;
	case EHFRAME_DEREF: ret->cfa_from = MW_FROM_DEREF_REG; break;
	default: return false;
	}
	ret->cfa_reg = s->cfa.reg;
	ret->cfa_off = s->cfa.off;
	ret->cfa_add = (int16_t)s->cfa.add;
	if (s->cfa.add != ret->cfa_add || s->cfa.reg > 15)
		return false;

	switch (s->fp.kind) {
	case EHFRAME_SAME:
	case EHFRAME_UNDEFINED: break;
	case EHFRAME_OFFSET: ret->fp_from = MW_FROM_CFA; break;
	case EHFRAME_REG: ret->fp_from = MW_FROM_REG; break;
	case EHFRAME_DEREF: ret->fp_from = MW_FROM_DEREF_REG; break;
	default: return false;
	}
	ret->fp_reg = s->fp.reg;
	ret->fp_off = s->fp.off;

	switch (s->ra.kind) {
	case EHFRAME_OFFSET: ret->ra_from = MW_FROM_CFA; break;
	case EHFRAME_REG: ret->ra_from = MW_FROM_REG; break;
	case EHFRAME_DEREF: ret->ra_from = MW_FROM_DEREF_REG; break;
	default: return false;
	}
	ret->ra_reg = s->ra.reg;
	ret->ra_off = (int16_t)(s->ra.off / 8);
	return !(s->ra.off & 7) && ret->ra_off == s->ra.off / 8 && s->ra.reg <= 16 &&
	       s->fp.reg <= 15;
}

static int emit(void *arg, uint64_t vaddr, const struct ehframe_state *s)
{
	struct builder *b = arg;
	struct mw_unwind_side side;
	uint64_t off = vaddr + b->bias;
	uint16_t cfa = 0, fp = 0;

	if (off >= b->limit)
		return 0;
	if (s->ra.kind == EHFRAME_UNDEFINED)
		return add_special(b, off, MW_UNWIND_STOP, 0);
	if (s->ra.kind == EHFRAME_OFFSET && s->ra.off == -8 && row_cfa(&s->cfa, &cfa) &&
	    row_fp(&s->fp, &fp)) {
		if (b->saves_fp && s->fp.kind == EHFRAME_SAME && s->cfa.reg == DWARF_SP &&
		    s->cfa.off > 8)
			fp = (uint16_t)-2; /* a Go function with a frame keeps it at its top */
		return add_row(b, off, cfa, fp);
	}
	if (side_of(s, &side))
		return add_side(b, off, &side);
	return add_special(b, off, MW_UNWIND_UNSUPPORTED, 0);
}

/* Places inside a gap that are known without unwind information. */
struct mark {
	uint64_t off, end;
	enum mw_unwind_special what;
	uint16_t more; /* the row's fp */
};

static void insert_mark(struct mark *marks, size_t *n, struct mark m)
{
	size_t i = *n;

	if (*n == MAX_MARKS)
		return;
	for (; i && marks[i - 1].off > m.off; i--)
		marks[i] = marks[i - 1];
	marks[i] = m;
	(*n)++;
}

/* Code that is known by its bytes wherever a gap holds it. The row begins one byte early, as
 * glibc's does for its handlers' return, because return addresses are looked up at pc-1. */
struct known_code {
	uint8_t bytes[12], mask[12]; /* a byte counts where its mask is set */
	size_t len;
	enum mw_unwind_special what;
};

static const struct known_code known_code[] = {
	/* mov $15 (rt_sigreturn), %rax; syscall: where handlers return to in C libraries without
	 * unwind information (musl) and in Go */
	{{0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1},
	 9,
	 MW_UNWIND_SIGNAL},
	/* xor %ebp, %ebp; pop %rdi; call *%r9; mov %eax, %edi; xor %eax, …: where the function
	 * given to musl's clone returns to */
	{{0x31, 0xed, 0x5f, 0x41, 0xff, 0xd1, 0x89, 0xc7, 0x31},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1},
	 9,
	 MW_UNWIND_STOP},
	/* xor %rdi, %rdi; call _exit; hlt: where the function of a boost.context fibre returns to
	 */
	{{0x48, 0x31, 0xff, 0xe8, 0, 0, 0, 0, 0xf4},
	 {1, 1, 1, 1, 0, 0, 0, 0, 1},
	 9,
	 MW_UNWIND_FIBRE},
};

#define KNOWN_CODE_LEN 9 /* of the longest */

static bool is_known(const struct known_code *k, const uint8_t *p)
{
	for (size_t i = 0; i < k->len; i++) {
		if (k->mask[i] && p[i] != k->bytes[i])
			return false;
	}
	return true;
}

static void search_window(const struct builder *b, uint64_t pos, size_t len, struct mark *marks,
			  size_t *n)
{
	for (size_t c = 0; c < ARRAY_SIZE(known_code); c++) {
		const struct known_code *k = &known_code[c];
		const uint8_t *end = b->window + len, *p = b->window;

		while ((p = memmem(p, end - p, k->bytes, 4)) && end - p >= (ptrdiff_t)k->len) {
			uint64_t off = pos + (p - b->window);

			if (is_known(k, p))
				insert_mark(marks, n,
					    (struct mark){off - 1, off + k->len, k->what, 0});
			p++;
		}
	}
}

static void find_known_code(struct builder *b, uint64_t from, uint64_t to, struct mark *marks,
			    size_t *n)
{
	const struct unwind_input *in = b->in;

	if (!in->read)
		return;
	for (uint64_t pos = from; pos < to && b->scanned < SCAN_BUDGET;) {
		size_t want = min_of(to - pos, (uint64_t)SCAN_WINDOW), got;

		if (!b->window && !(b->window = malloc(SCAN_WINDOW)))
			return;
		got = in->read(in->read_arg, pos - b->bias, b->window, want);
		b->scanned += want;
		search_window(b, pos, got, marks, n);
		if (got < want || want < SCAN_WINDOW)
			return;
		pos += want - (KNOWN_CODE_LEN - 1);
	}
}

static int collect_entry(void *arg, const struct elfobj_symbol *sym)
{
	struct builder *b = arg;

	if (sym->type != STT_FUNC)
		return 0;
	if (array_reserve(b->entries, b->cap_entries, b->n_entries + 1) ||
	    array_reserve(b->ends, b->cap_ends, b->n_entries + 1))
		return -ENOMEM;
	b->entries[b->n_entries] = sym->vaddr;
	b->ends[b->n_entries++] = sym->vaddr + sym->size;
	return 0;
}

struct gap_rows {
	struct mw_unwind_row *row;
	size_t n, cap;
};

/* Rows of code in a gap by what its instructions do, behind those that there are. */
static int read_code(struct builder *b, uint64_t from, uint64_t to, struct gap_rows *ret)
{
	const struct unwind_input *in = b->in;
	struct unwind_code c = {.vaddr = from - b->bias, .read = in->read, .arg = in->read_arg};
	cleanup_free struct mw_unwind_row *rows = NULL;
	cleanup_free uint8_t *code = NULL;
	size_t len = to - from, n = 0;
	int err;

	if (len > UNWIND_CODE_MAX || b->followed + len > CODE_BUDGET)
		return 0;
	b->followed += len;
	code = malloc(len);
	if (!code)
		return -ENOMEM;
	c.bytes = code;
	c.len = in->read(in->read_arg, c.vaddr, code, len);
	err = unwind_code__read(&c, b->entries, b->n_entries, &rows, &n);
	if (!err)
		err = array_reserve(ret->row, ret->cap, ret->n + n + 1);
	for (size_t i = 0; i < n && !err; i++) {
		ret->row[ret->n] = rows[i];
		ret->row[ret->n++].off += from;
	}
	if (!err)
		ret->row[ret->n++] =
			(struct mw_unwind_row){.off = to, .cfa = MW_UNWIND_CFA(MW_UNWIND_END, 0)};
	return err;
}

/* The same of the functions alone that there are, one behind the other, and not of what lies
 * between them. */
static int read_functions(struct builder *b, uint64_t from, uint64_t to, struct gap_rows *ret)
{
	int err = 0;

	for (size_t i = 0; i < b->n_entries && !err;) {
		uint64_t lo = b->entries[i] + b->bias, hi = b->ends[i] + b->bias;

		for (i++; i < b->n_entries; i++) {
			uint64_t next = b->entries[i] + b->bias;

			if (next < hi || next - hi > PADDING)
				break;
			hi = b->ends[i] + b->bias;
		}
		if (lo >= from && lo < hi && hi <= to &&
		    (!ret->n || lo >= ret->row[ret->n - 1].off))
			err = read_code(b, lo, hi, ret);
	}
	return err;
}

/* Rows of a gap; none where nothing can be told. */
static int read_gap(struct builder *b, uint64_t from, uint64_t to, struct gap_rows *ret)
{
	const struct unwind_input *in = b->in;

	if (!in->symbols || !in->read || to - from < MIN_CODE)
		return 0;
	if (!b->n_entries)
		in->symbols(in->read_arg, collect_entry, b);
	return in->go ? read_functions(b, from, to, ret) : read_code(b, from, to, ret);
}

/* The rows of [from, to) of those that a gap has; END where it has none. */
static int add_rows(struct builder *b, const struct gap_rows *rows, uint64_t from, uint64_t to)
{
	struct mw_unwind_row at = {.cfa = MW_UNWIND_CFA(MW_UNWIND_END, 0)};
	size_t i = 0;
	int err;

	for (; i < rows->n && rows->row[i].off <= from; i++)
		at = rows->row[i];
	err = from < to ? add_row(b, from, at.cfa, at.fp) : 0;
	for (; i < rows->n && rows->row[i].off < to && !err; i++)
		err = add_row(b, rows->row[i].off, rows->row[i].cfa, rows->row[i].fp);
	return err;
}

/* Code in [from, to) has no unwind information. b->bias is the segment's. */
static int add_gap(struct builder *b, uint64_t from, uint64_t to)
{
	uint64_t entry = b->in->entry + b->bias, at = from;
	struct gap_rows rows = {0};
	struct mark marks[MAX_MARKS];
	size_t n = 0;
	int err;

	if (to <= from || to - from <= PADDING)
		return 0;
	b->st.gaps++;
	err = read_gap(b, from, to, &rows);
	if (b->in->entry && entry >= from && entry < to)
		insert_mark(
			marks, &n,
			(struct mark){entry, min_of(entry + ENTRY_CODE, to), MW_UNWIND_STOP, 0});
	for (size_t i = 0; i < b->in->n_specials; i++) {
		const struct unwind_special *s = &b->in->specials[i];
		uint64_t off = s->vaddr + b->bias;

		if (off >= from && off < to)
			insert_mark(
				marks, &n,
				(struct mark){off, min_of(off + s->size, to), s->what, s->more});
	}
	find_known_code(b, from, to, marks, &n);
	for (size_t i = 0; i < n && !err; i++) {
		uint64_t end = i + 1 < n ? min_of(marks[i].end, marks[i + 1].off) : marks[i].end;

		err = add_rows(b, &rows, at, marks[i].off);
		if (!err)
			err = add_special(b, max_of(marks[i].off, from), marks[i].what,
					  marks[i].more);
		at = end;
	}
	if (!err)
		err = add_rows(b, &rows, at, to);
	free(rows.row);
	return err;
}

static int cmp_func(const void *x, const void *y)
{
	const struct func *a = x, *b = y;

	if (a->off != b->off)
		return a->off < b->off ? -1 : 1;
	return (a->debug - b->debug) ?: (a->index > b->index) - (a->index < b->index);
}

/* Appends a section's functions that lie in an executable segment. */
static int collect(const struct unwind_input *in, const struct ehframe *eh, bool debug,
		   struct func **funcs, size_t *n, size_t *cap)
{
	uint32_t seg = 0;
	int err = array_reserve(*funcs, *cap, *n + eh->n_fdes);

	for (size_t i = 0; i < eh->n_fdes && !err; i++) {
		const struct ehframe_fde *f = &eh->fdes[i];
		const struct unwind_segment *s = &in->segs[seg];
		uint64_t off;

		if (f->start - s->vaddr >= s->size) {
			for (seg = 0; seg < in->n_segs; seg++) {
				s = &in->segs[seg];
				if (f->start - s->vaddr < s->size)
					break;
			}
			if (seg == in->n_segs) {
				seg = 0;
				continue;
			}
		}
		off = f->start - s->vaddr + s->off;
		(*funcs)[(*n)++] =
			(struct func){off, min_of(off + f->len, s->off + s->size), seg, i, debug};
	}
	return err;
}

static int emit_func(struct builder *b, const struct ehframe *eh, const struct ehframe_fde *fde,
		     uint64_t off)
{
	b->st.functions++;
	for (size_t i = 0; i < b->in->n_specials; i++) {
		const struct unwind_special *s = &b->in->specials[i];

		if (!s->only_gap && off - (s->vaddr + b->bias) < s->size)
			return add_special(b, s->vaddr + b->bias, s->what, s->more);
	}
	if (eh->cies[fde->cie].signal)
		return add_special(b, off, MW_UNWIND_SIGNAL, 0);
	return ehframe__run(eh, fde, emit, b);
}

/* Rows of all functions in file order, gaps between them marked. */
static int emit_all(struct builder *b, const struct ehframe *eh, const struct ehframe *debug,
		    const struct func *funcs, size_t n)
{
	const struct unwind_segment *seg = NULL;
	uint64_t end = 0;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const struct func *f = &funcs[i];
		const struct ehframe *from = f->debug ? debug : eh;

		if (seg != &b->in->segs[f->seg]) {
			if (seg)
				err = add_gap(b, end, seg->off + seg->size)
					      ?: add_row(b, seg->off + seg->size, MW_UNWIND_END, 0);
			seg = &b->in->segs[f->seg];
			b->bias = seg->off - seg->vaddr;
			/* segments may overlap in the file; rows only ascend */
			end = max_of(seg->off, b->n_rows ? b->rows[b->n_rows - 1].off : 0);
		}
		if (f->off < end) /* .debug_frame repeats it, or a hostile overlap */
			continue;
		b->saves_fp = f->debug && b->in->go;
		b->limit = f->end;
		if (i + 1 < n && !funcs[i + 1].debug)
			b->limit = min_of(b->limit, funcs[i + 1].off);
		if (f->off >= b->limit)
			continue;
		if (!err)
			err = add_gap(b, end, f->off);
		if (!err)
			err = emit_func(b, from, &from->fdes[f->index], f->off);
		end = b->limit;
	}
	if (!err && seg)
		err = add_gap(b, end, seg->off + seg->size)
			      ?: add_row(b, max_of(end, seg->off + seg->size), MW_UNWIND_END, 0);
	if (!seg && b->in->n_specials) { /* only what is known of single functions */
		seg = &b->in->segs[0];
		b->bias = seg->off - seg->vaddr;
		err = add_gap(b, seg->off, seg->off + seg->size)
			      ?: add_row(b, seg->off + seg->size, MW_UNWIND_END, 0);
	}
	return err;
}

/* Lays the parts out as words. */
static int assemble(const struct builder *b, struct unwind_table *t)
{
	struct mw_unwind_hdr h = {.version = MW_UNWIND_VERSION};
	uint32_t row = 0;
	uint64_t *w;

	h.first_page = b->rows[0].off >> MW_UNWIND_PAGE_SHIFT;
	h.n_pages = (b->rows[b->n_rows - 1].off >> MW_UNWIND_PAGE_SHIFT) - h.first_page + 1;
	h.n_rows = b->n_rows;
	h.n_sides = b->n_sides;
	h.pages = MW_UNWIND_HDR;
	h.rows = h.pages + h.n_pages;
	h.sides = h.rows + h.n_rows;
	t->n_words = h.sides + 2 * (size_t)h.n_sides;
	w = malloc(t->n_words * sizeof(*w));
	if (!w)
		return -ENOMEM;
	memcpy(w, &h, sizeof(h));
	for (uint32_t page = 0; page < h.n_pages; page++) {
		uint64_t end = (uint64_t)(h.first_page + page + 1) << MW_UNWIND_PAGE_SHIFT;
		uint32_t first = row;

		while (row < h.n_rows && b->rows[row].off < end)
			row++;
		w[h.pages + page] = (uint64_t)row << 32 | first;
	}
	memcpy(w + h.rows, b->rows, b->n_rows * sizeof(*b->rows));
	if (b->n_sides)
		memcpy(w + h.sides, b->sides, b->n_sides * sizeof(*b->sides));
	t->words = w;
	t->stats = b->st;
	t->stats.rows = h.n_rows;
	t->stats.sides = h.n_sides;
	return 0;
}

static int read_section(const struct ehframe_section *sec, struct ehframe *ret,
			struct unwind_table_stats *st)
{
	int err;

	*ret = (struct ehframe){0};
	if (!sec->data)
		return 0;
	err = ehframe__read(sec, ret);
	if (!err) {
		st->bad_records += ret->bad_records;
		st->truncated |= ret->truncated;
	}
	return err;
}

int unwind_table__build(const struct unwind_input *in, struct unwind_table **ret)
{
	struct builder b = {.in = in};
	struct ehframe eh = {0}, debug = {0};
	struct func *funcs = NULL;
	struct unwind_table *t = NULL;
	size_t n = 0, cap = 0;
	int err;

	err = in->n_segs ? read_section(&in->eh, &eh, &b.st) : -ENODATA;
	if (!err)
		err = read_section(&in->debug, &debug, &b.st);
	if (!err)
		err = collect(in, &eh, false, &funcs, &n, &cap)
			      ?: collect(in, &debug, true, &funcs, &n, &cap);
	if (err)
		goto out;
	for (size_t i = 1; i < n; i++) {
		if (cmp_func(&funcs[i - 1], &funcs[i]) > 0) {
			qsort(funcs, n, sizeof(*funcs), cmp_func);
			break;
		}
	}
	err = emit_all(&b, &eh, &debug, funcs, n);
	if (!err && !b.n_rows)
		err = -ENODATA;
	if (err)
		goto out;
	t = calloc(1, sizeof(*t));
	err = t ? assemble(&b, t) : -ENOMEM;
out:
	if (err)
		free(t);
	else
		*ret = t;
	free(b.rows);
	free(b.sides);
	free(b.window);
	free(b.entries);
	free(b.ends);
	free(funcs);
	ehframe__free(&eh);
	ehframe__free(&debug);
	return err;
}

int unwind_table__from_rows(struct mw_unwind_row *rows, size_t n, struct unwind_table **ret)
{
	const struct builder b = {.rows = rows, .n_rows = n};
	struct unwind_table *t;
	int err;

	if (!n)
		return -ENODATA;
	t = calloc(1, sizeof(*t));
	err = t ? assemble(&b, t) : -ENOMEM;
	if (err)
		free(t);
	else
		*ret = t;
	return err;
}

void unwind_table__free(struct unwind_table *t)
{
	if (!t)
		return;
	free(t->words);
	free(t);
}

static bool part_fits(uint64_t first, uint64_t n, size_t n_words)
{
	return first >= MW_UNWIND_HDR && first <= n_words && n <= n_words - first;
}

int unwind_table__check(const uint64_t *words, size_t n_words)
{
	struct mw_unwind_hdr h;
	uint32_t expect = 0, last = 0;

	if (n_words < MW_UNWIND_HDR)
		return -EBADMSG;
	memcpy(&h, words, sizeof(h));
	if (h.version != MW_UNWIND_VERSION || !h.n_rows || !h.n_pages ||
	    h.n_rows > UNWIND_TABLE_MAX_ROWS || h.n_pages > UNWIND_TABLE_MAX_PAGES ||
	    !part_fits(h.pages, h.n_pages, n_words) || !part_fits(h.rows, h.n_rows, n_words) ||
	    !part_fits(h.sides, 2 * (uint64_t)h.n_sides, n_words))
		return -EBADMSG;
	for (uint32_t i = 0; i < h.n_pages; i++) {
		uint64_t w = words[h.pages + i];

		if ((uint32_t)w != expect || w >> 32 < expect || w >> 32 > h.n_rows)
			return -EBADMSG;
		expect = w >> 32;
	}
	for (uint32_t i = 0; i < h.n_rows; i++) {
		struct mw_unwind_row r;

		memcpy(&r, &words[h.rows + i], sizeof(r));
		if (i && r.off <= last)
			return -EBADMSG;
		last = r.off;
		if (MW_UNWIND_TYPE(r.cfa) == MW_UNWIND_SIDE &&
		    ((uint32_t)MW_UNWIND_ARG(r.cfa) << 16 | (uint16_t)r.fp) >= h.n_sides)
			return -EBADMSG;
	}
	return expect == h.n_rows ? 0 : -EBADMSG;
}

int unwind_table__adopt(uint64_t *words, size_t n_words, struct unwind_table **ret)
{
	struct unwind_table *t;
	int err = unwind_table__check(words, n_words);

	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->words = words;
	t->n_words = n_words;
	t->stats.rows = unwind_table__hdr(t)->n_rows;
	t->stats.sides = unwind_table__hdr(t)->n_sides;
	*ret = t;
	return 0;
}

const struct mw_unwind_row *unwind_table__find(const struct unwind_table *t, uint64_t off)
{
	const struct mw_unwind_hdr *h = unwind_table__hdr(t);
	const struct mw_unwind_row *rows = (const void *)(t->words + h->rows);
	uint64_t page = (off >> MW_UNWIND_PAGE_SHIFT) - h->first_page, w;
	uint32_t lo, hi;

	if (off >> MW_UNWIND_PAGE_SHIFT < h->first_page)
		return NULL;
	if (page >= h->n_pages)
		return &rows[h->n_rows - 1];
	w = t->words[h->pages + page];
	lo = w;
	hi = w >> 32;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (rows[mid].off <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &rows[lo - 1] : NULL;
}

const struct mw_unwind_side *unwind_table__side(const struct unwind_table *t,
						const struct mw_unwind_row *row)
{
	const struct mw_unwind_side *sides = (const void *)(t->words + unwind_table__hdr(t)->sides);

	return &sides[(uint32_t)MW_UNWIND_ARG(row->cfa) << 16 | (uint16_t)row->fp];
}
