/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unwind tables of real libraries against libdw's reading of the same bytes, and damaged input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "elf/unwind_code.h"
#include "elf/unwind_special.h"
#include "elf/unwind_table.h"

#define SP 7
#define FP 6
#define RA 16

static struct elfobj *open_elf(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *e = NULL;

	if (fd < 0)
		return NULL;
	assert_int_equal(elfobj__open_fd(fd, path, &e), 0);
	return e;
}

/* A rule in words that both sides can be brought to. */
struct rule {
	char text[64];
};

static struct rule say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct rule say(const char *fmt, ...)
{
	struct rule r;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r.text, sizeof(r.text), fmt, ap);
	va_end(ap);
	return r;
}

/* libdw's CFA. */
static struct rule dw_cfa(const Dwarf_Op *ops, size_t n)
{
	unsigned int reg;
	long off, add = 0;

	if (!n)
		return say("?");
	if (ops[0].atom == DW_OP_bregx) {
		reg = ops[0].number;
		off = ops[0].number2;
	} else if (ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31) {
		reg = ops[0].atom - DW_OP_breg0;
		off = ops[0].number;
	} else {
		return say("?");
	}
	if (n == 1)
		return say("r%u%+ld", reg, off);
	if (n > 4 && ops[n - 1].atom == DW_OP_plus && ops[n - 4].atom == DW_OP_ge)
		return say("plt%d", ops[n - 5].atom - DW_OP_lit0);
	if (ops[1].atom == DW_OP_plus_uconst)
		return say("r%u%+ld", reg, off + (long)ops[1].number);
	if (ops[1].atom != DW_OP_deref)
		return say("?");
	if (n == 3 && ops[2].atom == DW_OP_plus_uconst)
		add = ops[2].number;
	else if (n != 2)
		return say("?");
	return say("*(r%u%+ld)%+ld", reg, off, add);
}

/* libdw's rule of a register, NULL ops and n = 0 or ~0 have meanings of their own there. */
static struct rule dw_reg(Dwarf_Frame *frame, int regno)
{
	Dwarf_Op mem[3], *ops;
	size_t n;

	if (dwarf_frame_register(frame, regno, mem, &ops, &n))
		return say("?");
	if (!n)
		return ops == mem ? say("undefined") : say("same");
	if (n >= 1 && ops[0].atom == DW_OP_call_frame_cfa) {
		if (n == 1)
			return say("cfa+0");
		if (n == 2 && ops[1].atom == DW_OP_plus_uconst)
			return say("cfa%+ld", (long)ops[1].number);
		return say("?");
	}
	if (n == 1 && ops[0].atom == DW_OP_regx)
		return say("r%lu", (unsigned long)ops[0].number);
	if (n == 1 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31)
		return say("*(r%d%+ld)", ops[0].atom - DW_OP_breg0, (long)ops[0].number);
	return say("?");
}

static struct rule row_cfa(const struct unwind_table *t, const struct mw_unwind_row *row)
{
	int arg = MW_UNWIND_ARG(row->cfa);
	const struct mw_unwind_side *s;

	switch (MW_UNWIND_TYPE(row->cfa)) {
	case MW_UNWIND_SP: return say("r7%+d", arg * 8);
	case MW_UNWIND_FP: return say("r6%+d", arg * 8);
	case MW_UNWIND_DEREF_FP: return say("*(r6%+d)+0", ((int16_t)row->cfa >> 3) * 8);
	case MW_UNWIND_PLT: return say("plt%d", arg);
	case MW_UNWIND_SIDE:
		s = unwind_table__side(t, row);
		return s->cfa_from == MW_FROM_REG
			       ? say("r%d%+d", s->cfa_reg, s->cfa_off)
			       : say("*(r%d%+d)%+d", s->cfa_reg, s->cfa_off, s->cfa_add);
	default: return say("none");
	}
}

static struct rule side_rule(unsigned int from, unsigned int reg, int off)
{
	switch (from) {
	case MW_FROM_CFA: return say("cfa%+d", off);
	case MW_FROM_REG: return say("r%u", reg);
	case MW_FROM_DEREF_REG: return say("*(r%u%+d)", reg, off);
	default: return say("same");
	}
}

static struct rule row_fp(const struct unwind_table *t, const struct mw_unwind_row *row)
{
	if (MW_UNWIND_TYPE(row->cfa) == MW_UNWIND_SIDE) {
		const struct mw_unwind_side *s = unwind_table__side(t, row);

		return side_rule(s->fp_from, s->fp_reg, s->fp_off);
	}
	if (row->fp == MW_UNWIND_FP_SAME)
		return say("same");
	return row->fp == MW_UNWIND_FP_DEREF ? say("*(r6+0)") : say("cfa%+d", row->fp * 8);
}

static struct rule row_ra(const struct unwind_table *t, const struct mw_unwind_row *row)
{
	if (MW_UNWIND_TYPE(row->cfa) == MW_UNWIND_SIDE) {
		const struct mw_unwind_side *s = unwind_table__side(t, row);

		return side_rule(s->ra_from, s->ra_reg, s->ra_off * 8);
	}
	return say("cfa-8");
}

struct tally {
	size_t compared, special, gaps;
};

/* One address: the table must say what libdw says. */
static void compare_at(const struct unwind_table *t, Dwarf_CFI *cfi, uint64_t vaddr, uint64_t off,
		       struct tally *n)
{
	const struct mw_unwind_row *row = unwind_table__find(t, off);
	Dwarf_Frame *frame = NULL;
	Dwarf_Op *ops = NULL;
	size_t nops = 0;
	bool signal = false;

	assert_non_null(row);
	if (dwarf_cfi_addrframe(cfi, vaddr, &frame)) {
		/* padding belongs to the function before it */
		n->gaps++;
		return;
	}
	dwarf_frame_info(frame, NULL, NULL, &signal);
	if (MW_UNWIND_TYPE(row->cfa) == MW_UNWIND_SPECIAL) {
		int what = MW_UNWIND_ARG(row->cfa);

		n->special++;
		if (what == MW_UNWIND_SIGNAL)
			assert_true(signal);
		else if (what == MW_UNWIND_STOP)
			assert_string_equal(dw_reg(frame, RA).text, "undefined");
	} else {
		struct rule fp = dw_reg(frame, FP);

		assert_int_equal(dwarf_frame_cfa(frame, &ops, &nops), 0);
		assert_string_equal(row_cfa(t, row).text, dw_cfa(ops, nops).text);
		if (strcmp(fp.text, "undefined"))
			assert_string_equal(row_fp(t, row).text, fp.text);
		assert_string_equal(row_ra(t, row).text, dw_reg(frame, RA).text);
		n->compared++;
	}
	free(frame);
}

/* Every `step`th row of a file, at its first byte and at its last. */
static void compare_file(const char *path, size_t step)
{
	struct elfobj *e = open_elf(path);
	struct unwind_table *t = NULL;
	struct tally n = {0};
	const struct mw_unwind_hdr *h;
	const struct mw_unwind_row *rows;
	Dwarf_CFI *cfi;
	uint64_t start = util__now_ns(), vaddr;

	if (!e)
		return;
	assert_int_equal(unwind_table__from_elf(e, &t), 0);
	h = unwind_table__hdr(t);
	print_message("%s: %u functions, %u rows, %u sides, %u gaps, %u stops, %u signals, "
		      "%u unsupported, %.1f bytes a row, %.1f ms\n",
		      path, t->stats.functions, t->stats.rows, t->stats.sides, t->stats.gaps,
		      t->stats.stops, t->stats.signals, t->stats.unsupported,
		      (t->n_words - h->n_pages) * 8.0 / h->n_rows, (util__now_ns() - start) / 1e6);
	assert_int_equal(unwind_table__check(t->words, t->n_words), 0);
	assert_false(t->stats.truncated);
	assert_true((t->n_words - h->n_pages) * 8 <= 10ull * h->n_rows + 4096);
	cfi = dwarf_getcfi_elf(elfobj__elf(e));
	assert_non_null(cfi);
	rows = (const void *)(t->words + h->rows);
	for (size_t i = 0; i + 1 < h->n_rows; i += step) {
		if (MW_UNWIND_TYPE(rows[i].cfa) == MW_UNWIND_END)
			continue;
		if (elfobj__off_to_vaddr(e, rows[i].off, &vaddr))
			compare_at(t, cfi, vaddr, rows[i].off, &n);
		if (elfobj__off_to_vaddr(e, rows[i + 1].off - 1, &vaddr))
			compare_at(t, cfi, vaddr, rows[i + 1].off - 1, &n);
	}
	print_message("  %zu equal to libdw, %zu special, %zu in padding or marks\n", n.compared,
		      n.special, n.gaps);
	assert_true(n.compared > 100);
	assert_true(n.gaps < n.compared);
	dwarf_cfi_end(cfi);
	unwind_table__free(t);
	elfobj__close(e);
}

static const char *first_of(const char *pattern, glob_t *g)
{
	return glob(pattern, 0, NULL, g) ? NULL : g->gl_pathv[0];
}

static void real_libraries(void **state)
{
	static const struct {
		const char *pattern;
		size_t step;
	} files[] = {
		{"/lib/*-linux-gnu/libc.so.6", 1},
		{"/lib*/ld-linux-x86-64.so.2", 1},
		{"/usr/lib/*-linux-gnu/libstdc++.so.6", 3},
		{"/usr/lib/*-linux-gnu/libcrypto.so.3", 3},
		{"/usr/bin/python3.[0-9]*", 7},
		{"/usr/bin/gdb", 13},
		{"/usr/lib/llvm-*/lib/libLLVM-*.so.1", 101},
	};
	size_t found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		glob_t g;
		const char *path = first_of(files[i].pattern, &g);

		if (path) {
			compare_file(path, files[i].step);
			found++;
			globfree(&g);
		}
	}
	assert_true(found >= 2); /* the C library and its loader at least */
}

/* The vDSO: an ELF image in memory. */
static void vdso(void **state)
{
	const Elf64_Ehdr *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	struct unwind_table *t = NULL;
	struct elfobj *e = NULL;
	cleanup_fd int fd = -1;

	if (!eh)
		skip();
	fd = memfd_create("vdso", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(util__write_all(fd, eh, eh->e_shoff + eh->e_shnum * eh->e_shentsize), 0);
	assert_int_equal(elfobj__open_fd(fd, "[vdso]", &e), 0);
	assert_int_equal(unwind_table__from_elf(e, &t), 0);
	assert_true(t->stats.rows > 5);
	unwind_table__free(t);
	elfobj__close(e);
}

/* The C library's signal trampoline and program entry. */
/* How Go 1.19 and Go 1.22 come back from C, and code that does not. */
static void go_calls(void **state)
{
	static const uint8_t old[] = {0x48, 0x8b, 0x7c, 0x24, 0x30, 0x48, 0x8b,
				      0x77, 0x08, 0x48, 0x2b, 0x74, 0x24, 0x28},
			     recent[] = {0xcc, 0x48, 0x8b, 0x7c, 0x24, 0x08, 0x48, 0x8b,
					 0x77, 0x08, 0x48, 0x2b, 0x34, 0x24, 0x90};
	uint16_t where = 0;

	assert_true(unwind_special__go_call(old, sizeof(old), &where));
	assert_int_equal(where, 6 | 5 << 8);
	assert_true(unwind_special__go_call(recent, sizeof(recent), &where));
	assert_int_equal(where, 1);
	for (size_t len = 0; len < sizeof(old); len++)
		assert_false(unwind_special__go_call(old, len, &where));
}

/* musl's start and start_c11, how 1.1 calls it, and functions that only look like one of these. */
static void thread_starts(void **state)
{
	static const struct {
		uint8_t code[16];
		size_t ret;
	} f[] = {{{0x90, 0xff, 0x13, 0x48, 0x89, 0xc7, 0xe8, 1, 2, 3, 4}, 3},
		 {{0xff, 0x10, 0x48, 0x63, 0xf8, 0xe8, 1, 2, 3, 4}, 2},
		 {{0xff, 0x53, 0x48, 0x48, 0x89, 0xc7, 0xe8, 1, 2, 3, 4}, 3},
		 {{0xff, 0x97, 0x90, 0, 0, 0, 0x48, 0x89, 0xc7, 0xe8, 1, 2, 3, 4}, 6},
		 {{0xff, 0xd0, 0x48, 0x89, 0xc7, 0xe8, 1, 2, 3, 4}, 2},
		 {{0xff, 0x23, 0x48, 0x89, 0xc7, 0xe8, 1, 2, 3, 4}, 0},	      /* a jump */
		 {{0xff, 0x15, 0x48, 0x89, 0xc7, 0xe8, 1, 2, 3, 4}, 0},	      /* off(%rip) */
		 {{0xe8, 0xff, 0x93, 0, 0, 0x48, 0x89, 0xc7, 0xe8, 1, 2}, 0}, /* by name */
		 {{0xff, 0x13, 0x48, 0x89, 0xc6, 0xe8, 1, 2, 3, 4}, 0},
		 {{0xff, 0x13, 0x48, 0x89, 0xc7, 0xc3}, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(f); i++) {
		size_t ret = f[i].ret;

		assert_int_equal(unwind_special__thread_start(f[i].code, sizeof(f[i].code)), ret);
		for (size_t len = 0; len < ret + 4; len++)
			assert_int_equal(unwind_special__thread_start(f[i].code, len), 0);
	}
}

static size_t read_fibre(void *arg, uint64_t vaddr, void *buf, size_t len)
{
	static const uint8_t finish[] = {0x48, 0x31, 0xff, 0xe8, 1, 2, 3, 4, 0xf4};
	uint64_t at = *(const uint64_t *)arg;

	memset(buf, 0x90, len);
	for (size_t i = 0; i < sizeof(finish); i++) {
		if (at + i >= vaddr && at + i < vaddr + len)
			((uint8_t *)buf)[at + i - vaddr] = finish[i];
	}
	return len;
}

/* A file without call frame information, of which two functions and a fibre's end are known; the
 * end also where two windows of the search meet. */
static void known_functions(void **state)
{
	static const struct unwind_segment seg = {0x1000, 0x1000, 0x40000};
	static const struct unwind_special special[] = {
		{0x2000, 0x10, MW_UNWIND_STOP, 0, true},
		{0x2100, 0x40, MW_UNWIND_GO_CALL, 0x0506, false}};
	static const uint64_t ends[] = {0x3001, 0x1000 + 65536 - 4};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		uint64_t end = ends[i];
		struct unwind_input in = {.segs = &seg,
					  .n_segs = 1,
					  .specials = special,
					  .n_specials = ARRAY_SIZE(special),
					  .read = read_fibre,
					  .read_arg = &end};
		const struct mw_unwind_row *row;
		struct unwind_table *t = NULL;

		assert_int_equal(unwind_table__build(&in, &t), 0);
		row = unwind_table__find(t, 0x2005);
		assert_int_equal(row->cfa, MW_UNWIND_CFA(MW_UNWIND_SPECIAL, MW_UNWIND_STOP));
		row = unwind_table__find(t, 0x213f);
		assert_int_equal(row->cfa, MW_UNWIND_CFA(MW_UNWIND_SPECIAL, MW_UNWIND_GO_CALL));
		assert_int_equal(row->fp, 0x0506);
		assert_int_equal(unwind_table__find(t, 0x2140)->cfa, MW_UNWIND_END);
		row = unwind_table__find(t, end - 1);
		assert_int_equal(row->cfa, MW_UNWIND_CFA(MW_UNWIND_SPECIAL, MW_UNWIND_FIBRE));
		assert_int_equal(unwind_table__find(t, end + 9)->cfa, MW_UNWIND_END);
		unwind_table__free(t);
	}
}

static void marks(void **state)
{
	struct unwind_table *t = NULL;
	struct elfobj *e = open_elf("/proc/self/exe");
	const struct mw_unwind_row *row;
	uint64_t off;

	assert_non_null(e);
	assert_int_equal(unwind_table__from_elf(e, &t), 0);
	assert_true(elfobj__vaddr_to_off(e, elfobj__entry(e), &off));
	row = unwind_table__find(t, off + 16);
	assert_int_equal(row->cfa, MW_UNWIND_CFA(MW_UNWIND_SPECIAL, MW_UNWIND_STOP));
	unwind_table__free(t);
	elfobj__close(e);
}

struct image {
	uint8_t *data;
	size_t len;
	uint64_t vaddr;
	struct unwind_segment seg;
};

static void load_image(struct elfobj *e, struct image *im)
{
	const struct elfobj_segment *segs;
	const uint8_t *data;
	size_t n = elfobj__segments(e, &segs);

	assert_int_equal(elfobj__section(e, ".eh_frame", &data, &im->len, &im->vaddr), 0);
	im->data = malloc(im->len);
	memcpy(im->data, data, im->len);
	for (size_t i = 0; i < n; i++) {
		if (segs[i].flags & PF_X)
			im->seg =
				(struct unwind_segment){segs[i].vaddr, segs[i].off, segs[i].filesz};
	}
}

static void build_damaged(const struct image *im, const uint8_t *data, size_t len, bool debug)
{
	struct unwind_input in = {.segs = &im->seg, .n_segs = 1, .entry = im->seg.vaddr};
	struct unwind_table *t = NULL;
	struct ehframe_section *s = debug ? &in.debug : &in.eh;

	s->data = data;
	s->len = len;
	s->vaddr = im->vaddr;
	s->debug_frame = debug;
	if (!unwind_table__build(&in, &t)) {
		assert_int_equal(unwind_table__check(t->words, t->n_words), 0);
		assert_true(t->n_words * 8 <= 24 * len + (8ull << 20));
		unwind_table__free(t);
	}
}

/* Truncated anywhere and with bytes changed at random: an error or a sound table, no crash. */
static void damaged(void **state)
{
	struct elfobj *e = open_elf("/lib64/ld-linux-x86-64.so.2");
	struct image im;
	uint8_t *copy;
	unsigned int seed = 1;

	if (!e)
		skip();
	load_image(e, &im);
	for (size_t len = 0; len < im.len; len += 1 + len / 64) {
		copy = malloc(len + 1);
		memcpy(copy, im.data, len);
		build_damaged(&im, copy, len, false);
		free(copy);
	}
	for (int round = 0; round < 300; round++) {
		copy = malloc(im.len);
		memcpy(copy, im.data, im.len);
		for (int k = 0; k < 1 + round / 4; k++)
			copy[rand_r(&seed) % im.len] = rand_r(&seed);
		build_damaged(&im, copy, im.len, round & 1);
		free(copy);
	}
	free(im.data);
	elfobj__close(e);
}

/* Small CFI programs written out, each with the table it must give. */
static void append(uint8_t *buf, size_t *len, const void *p, size_t n)
{
	memcpy(buf + *len, p, n);
	*len += n;
}

static void append_cie(uint8_t *buf, size_t *len, const uint8_t *code, size_t n)
{
	static const uint8_t head[] = {0,    0,	 0, 0,	  1,	'z', 'R', 0,	1,
				       0x78, 16, 1, 0x03, 0x0c, 7,   8,	  0x90, 1};
	uint32_t size = sizeof(head) + n;

	append(buf, len, &size, 4);
	append(buf, len, head, sizeof(head));
	append(buf, len, code, n);
}

static void append_fde(uint8_t *buf, size_t *len, uint32_t start, uint32_t size,
		       const uint8_t *code, size_t n)
{
	uint32_t total = 4 + 4 + 4 + 1 + n, ptr = *len + 4;

	append(buf, len, &total, 4);
	append(buf, len, &ptr, 4);
	append(buf, len, &start, 4);
	append(buf, len, &size, 4);
	append(buf, len, "", 1);
	append(buf, len, code, n);
}

static struct unwind_table *build_small(const uint8_t *buf, size_t len)
{
	static const struct unwind_segment seg = {0x1000, 0x1000, 0x10000};
	struct unwind_input in = {.segs = &seg, .n_segs = 1, .eh = {.data = buf, .len = len}};
	struct unwind_table *t = NULL;

	assert_int_equal(unwind_table__build(&in, &t), 0);
	assert_int_equal(unwind_table__check(t->words, t->n_words), 0);
	return t;
}

static void rules(void **state)
{
	/* push %rbp; mov %rsp,%rbp; … remember, leave; restore */
	static const uint8_t code[] = {0x41, 0x0e, 16,	 0x86, 2, /* +1: CFA=rsp+16, rbp at -16 */
				       0x43, 0x0d, 6,		  /* +4: CFA=rbp+16 */
				       0x44, 0x0a, 0x0c, 7,    8,   0xc6, /* +8: left */
				       0x41, 0x0b,			  /* +9: back */
				       0x41, 0x0e, 0x80, 0x80, 0x40};	  /* +10: CFA=rbp+1048576 */
	static const uint8_t loop[] = {0x41, 0x0b}; /* restore without remember */
	uint8_t buf[512];
	size_t len = 0;
	struct unwind_table *t;
	const struct mw_unwind_row *r;

	append_cie(buf, &len, (const uint8_t *)"", 0);
	append_fde(buf, &len, 0x1000, 0x40, code, sizeof(code));
	append_fde(buf, &len, 0x1048, 0x10, loop, sizeof(loop)); /* after 8 bytes of padding */
	append_fde(buf, &len, 0x2000, 0x10, (const uint8_t *)"", 0);
	t = build_small(buf, len);
	assert_string_equal(row_cfa(t, unwind_table__find(t, 0x1000)).text, "r7+8");
	assert_string_equal(row_cfa(t, unwind_table__find(t, 0x1003)).text, "r7+16");
	assert_string_equal(row_fp(t, unwind_table__find(t, 0x1003)).text, "cfa-16");
	assert_string_equal(row_cfa(t, unwind_table__find(t, 0x1004)).text, "r6+16");
	assert_string_equal(row_cfa(t, unwind_table__find(t, 0x1008)).text, "r7+8");
	assert_string_equal(row_fp(t, unwind_table__find(t, 0x1008)).text, "same");
	assert_string_equal(row_cfa(t, unwind_table__find(t, 0x1009)).text, "r6+16");
	r = unwind_table__find(t, 0x1047); /* large offset: side table; padding belongs to it */
	assert_int_equal(MW_UNWIND_TYPE(r->cfa), MW_UNWIND_SIDE);
	assert_string_equal(row_cfa(t, r).text, "r6+1048576");
	assert_string_equal(row_fp(t, r).text, "cfa-16");
	r = unwind_table__find(t, 0x1050);
	assert_int_equal(r->cfa, MW_UNWIND_CFA(MW_UNWIND_SPECIAL, MW_UNWIND_UNSUPPORTED));
	r = unwind_table__find(t, 0x1800);
	assert_int_equal(r->cfa, MW_UNWIND_END);
	r = unwind_table__find(t, 0x2010);
	assert_int_equal(r->cfa, MW_UNWIND_END);
	assert_null(unwind_table__find(t, 0xfff));
	unwind_table__free(t);
}

/* What the disk may hold. */
static void hostile_words(void **state)
{
	uint8_t buf[256];
	size_t len = 0;
	struct unwind_table *t;
	uint64_t saved;

	append_cie(buf, &len, (const uint8_t *)"", 0);
	append_fde(buf, &len, 0x1000, 0x40, (const uint8_t *)"", 0);
	t = build_small(buf, len);
	for (size_t i = 0; i < t->n_words; i++)
		assert_int_equal(unwind_table__check(t->words, i), -EBADMSG);
	for (size_t i = 0; i < t->n_words; i++) {
		saved = t->words[i];
		t->words[i] = ~0ULL;
		/* any result but a crash; sizes and the index must be refused */
		if (i < MW_UNWIND_HDR + 1)
			assert_int_equal(unwind_table__check(t->words, t->n_words), -EBADMSG);
		else
			unwind_table__check(t->words, t->n_words);
		t->words[i] = saved;
	}
	unwind_table__free(t);
}

/* Code that is described by its rows alone, over two pages with none in between. */
static void rows_alone(void **state)
{
	struct mw_unwind_row rows[] = {
		{64, MW_UNWIND_CFA(MW_UNWIND_SP, 1), MW_UNWIND_FP_SAME},
		{100, MW_UNWIND_CFA(MW_UNWIND_SP, 4), MW_UNWIND_FP_SAME},
		{9000, MW_UNWIND_CFA(MW_UNWIND_SP, 2), MW_UNWIND_FP_SAME},
	};
	struct unwind_table *t = NULL;

	(void)state;
	assert_int_equal(unwind_table__from_rows(rows, 0, &t), -ENODATA);
	assert_int_equal(unwind_table__from_rows(rows, 3, &t), 0);
	assert_int_equal(unwind_table__check(t->words, t->n_words), 0);
	assert_null(unwind_table__find(t, 63));
	assert_int_equal(unwind_table__find(t, 64)->cfa, rows[0].cfa);
	assert_int_equal(unwind_table__find(t, 101)->cfa, rows[1].cfa);
	assert_int_equal(unwind_table__find(t, 5000)->cfa, rows[1].cfa);
	assert_int_equal(unwind_table__find(t, 9001)->cfa, rows[2].cfa);
	unwind_table__free(t);
}

struct names {
	uint64_t *vaddr;
	size_t n, cap;
};

static int add_name(void *arg, const struct elfobj_symbol *sym)
{
	struct names *f = arg;

	if (sym->type != STT_FUNC)
		return 0;
	assert_int_equal(array_reserve(f->vaddr, f->cap, f->n + 1), 0);
	f->vaddr[f->n++] = sym->vaddr;
	return 0;
}

static size_t read_file(void *arg, uint64_t vaddr, void *buf, size_t len)
{
	return elfobj__read(arg, vaddr, buf, len);
}

/* Of the rows that the code of a segment tells: how many say the same as the compiler, how many do
 * not. A frame pointer that has been loaded again is still where it was kept. */
static void compare_code(struct elfobj *e, const struct unwind_table *t,
			 const struct elfobj_segment *seg, size_t ret[2])
{
	struct names names = {0};
	uint8_t *bytes = malloc(seg->filesz);
	struct unwind_code code = {bytes, 0, seg->vaddr, read_file, e};
	struct mw_unwind_row *rows = NULL;
	size_t n = 0;

	assert_non_null(bytes);
	code.len = elfobj__read(e, seg->vaddr, bytes, seg->filesz);
	elfobj__each_symbol(e, add_name, &names);
	assert_int_equal(unwind_code__read(&code, names.vaddr, names.n, &rows, &n), 0);
	for (size_t i = 0; i < n; i++) {
		const struct mw_unwind_row *told = unwind_table__find(t, rows[i].off + seg->off);
		unsigned int type = MW_UNWIND_TYPE(rows[i].cfa);

		if (type == MW_UNWIND_END || !told || MW_UNWIND_TYPE(told->cfa) != type)
			continue; /* by another register */
		ret[told->cfa != rows[i].cfa || (rows[i].fp && told->fp != rows[i].fp)]++;
	}
	free(names.vaddr);
	free(bytes);
	free(rows);
}

/* What the instructions of real libraries do to the stack is what the compiler tells of it. */
static void code_without_information(void **state)
{
	static const char *const paths[] = {"/lib/x86_64-linux-gnu/libz.so.1",
					    "/lib/x86_64-linux-gnu/libc.so.6"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct elfobj *e = open_elf(paths[i]);
		const struct elfobj_segment *segs;
		struct unwind_table *t;
		size_t n = e ? elfobj__segments(e, &segs) : 0, rows[2] = {0};

		if (!e || unwind_table__from_elf(e, &t)) {
			elfobj__close(e);
			continue;
		}
		for (size_t k = 0; k < n; k++) {
			if (segs[k].flags & PF_X)
				compare_code(e, t, &segs[k], rows);
		}
		print_message("%s: %zu as told, %zu not\n", paths[i], rows[0], rows[1]);
		assert_true(rows[0] >= 1000 && rows[1] * 300 <= rows[0]);
		unwind_table__free(t);
		elfobj__close(e);
	}
}

/* The row that holds at each byte of the code, as "sp N", "fp N" or "-". */
static void tells(const uint8_t *bytes, size_t len, const char *const expected[])
{
	static const char *const kinds[] = {"-", "sp", "fp"};
	const uint64_t begin = 0x1000;
	const struct unwind_code code = {bytes, len, begin, NULL, NULL};
	struct mw_unwind_row *rows;
	size_t n_rows, at = 0;

	assert_int_equal(unwind_code__read(&code, &begin, 1, &rows, &n_rows), 0);
	for (size_t i = 0; i < len; i++) {
		char text[32];

		while (at + 1 < n_rows && rows[at + 1].off <= i)
			at++;
		snprintf(text, sizeof(text), MW_UNWIND_TYPE(rows[at].cfa) ? "%s %d" : "%s",
			 kinds[MW_UNWIND_TYPE(rows[at].cfa)], MW_UNWIND_ARG(rows[at].cfa));
		assert_string_equal(text, expected[i]);
	}
	free(rows);
}

static void code_by_the_instruction(void **state)
{
	/* push %rbp; mov %rsp, %rbp; sub %rdi, %rsp; push %rbx; leave; ret; (not reached) nop */
	static const uint8_t frame[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x29,
					0xfc, 0x53, 0xc9, 0xc3, 0x90};
	static const char *const by_frame[] = {"sp 1", "sp 2", "sp 2", "sp 2", "fp 2", "fp 2",
					       "fp 2", "fp 2", "fp 2", "sp 1", "-"};
	/* sub $24, %rsp; je over push %rax; push %rax; (two depths meet) nop; mov %rdi, %rsp; ret
	 */
	static const uint8_t meet[] = {0x48, 0x83, 0xec, 0x18, 0x74, 0x01,
				       0x50, 0x90, 0x48, 0x89, 0xfc, 0xc3};
	static const char *const by_sp[] = {"sp 1", "sp 1", "sp 1", "sp 1", "sp 4", "sp 4",
					    "sp 4", "-",    "-",    "-",    "-",    "-"};
	/* call over; (over:) pop %rax; ret */
	static const uint8_t own_address[] = {0xe8, 0, 0, 0, 0, 0x58, 0xc3};
	static const char *const by_call[] = {"sp 1", "sp 1", "sp 1", "sp 1",
					      "sp 1", "sp 2", "sp 1"};

	(void)state;
	tells(frame, sizeof(frame), by_frame);
	tells(meet, sizeof(meet), by_sp);
	tells(own_address, sizeof(own_address), by_call);
}

/* Functions of `first`, 16 bytes each; how many rows are told of them. */
static size_t rows_of(const uint8_t first[4], size_t every)
{
	uint8_t bytes[64 * 16];
	uint64_t entries[64];
	struct unwind_code code = {bytes, sizeof(bytes), 0x1000, NULL, NULL};
	struct mw_unwind_row *rows;
	size_t n;

	memset(bytes, 0x90, sizeof(bytes));
	for (size_t i = 0; i < 64; i++) {
		entries[i] = 0x1000 + i * 16;
		if (i % every == 0)
			memcpy(bytes + i * 16, first, 4);
		bytes[i * 16 + 15] = 0xc3;
	}
	assert_int_equal(unwind_code__read(&code, entries, 64, &rows, &n), 0);
	free(rows);
	return n;
}

/* They are left to frame pointers, also where three of four functions need none. */
static void code_with_frames(void **state)
{
	static const uint8_t frame[] = {0x55, 0x48, 0x89, 0xe5}, none[] = {0x55, 0x48, 0x89, 0xfd};

	(void)state;
	assert_int_equal(rows_of(frame, 1), 0);
	assert_int_equal(rows_of(frame, 4), 0);
	assert_true(rows_of(frame, 8) > 8);
	assert_true(rows_of(none, 1) > 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(real_libraries),
		cmocka_unit_test(vdso),
		cmocka_unit_test(marks),
		cmocka_unit_test(go_calls),
		cmocka_unit_test(thread_starts),
		cmocka_unit_test(known_functions),
		cmocka_unit_test(rows_alone),
		cmocka_unit_test(code_without_information),
		cmocka_unit_test(code_by_the_instruction),
		cmocka_unit_test(code_with_frames),
		cmocka_unit_test(damaged),
		cmocka_unit_test(hostile_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
