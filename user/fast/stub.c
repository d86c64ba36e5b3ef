/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/stub.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/allocs.h"

#define FUNC_BYTES 1024

struct piece {
	const uint8_t *begin, *end;
};

#define PIECE(n) ((struct piece){mw_stub_##n, mw_stub_##n##_end})

/* The image while it is written. Fields that lead to places not yet written are kept. */
struct stub_writer {
	struct stub_image *im;
	size_t at, cap;
	uint64_t base;
	uint64_t to[HOLES]; /* where the holes of pieces lead, 0: not yet known */
	struct {
		uint32_t field, hole;
	} open[64];
	size_t n_open;
	int func;
	bool failed;
};

static uint64_t here(const struct stub_writer *w)
{
	return w->base + w->at;
}

static void bytes(struct stub_writer *w, const void *b, size_t n)
{
	if (w->at + n > w->cap) {
		w->failed = true;
		return;
	}
	memcpy(w->im->code + w->at, b, n);
	w->at += n;
}

static void row(struct stub_writer *w, size_t off, uint32_t words)
{
	struct stub_image *im = w->im;

	if (im->n_rows && im->rows[im->n_rows - 1].off == off)
		im->n_rows--;
	if (im->n_rows == STUB_MAX_ROWS)
		w->failed = true;
	else
		im->rows[im->n_rows++] = (struct stub_row){.off = off, .words = words};
}

static void fill(struct stub_writer *w, size_t field, uint64_t to)
{
	int64_t rel = (int64_t)(to - (w->base + field + 4));
	int32_t rel32 = (int32_t)rel;

	w->failed |= rel != rel32;
	memcpy(w->im->code + field, &rel32, 4);
}

static void hole(struct stub_writer *w, size_t field, uint32_t kind)
{
	if (w->to[kind]) {
		fill(w, field, w->to[kind]);
		return;
	}
	if (w->n_open == ARRAY_SIZE(w->open)) {
		w->failed = true;
		return;
	}
	w->open[w->n_open].field = field;
	w->open[w->n_open++].hole = kind;
}

/* What leads to `kind` leads here. */
static void place(struct stub_writer *w, uint32_t kind)
{
	size_t n = 0;

	w->to[kind] = here(w);
	for (size_t i = 0; i < w->n_open; i++) {
		if (w->open[i].hole == kind)
			fill(w, w->open[i].field, here(w));
		else
			w->open[n++] = w->open[i];
	}
	w->n_open = n;
}

static void site(struct stub_writer *w, size_t off, uint8_t kind)
{
	struct stub_image *im = w->im;

	if (im->n_sites == STUB_MAX_SITES)
		w->failed = true;
	else
		im->sites[im->n_sites++] =
			(struct stub_site){.off = off, .func = w->func, .kind = kind};
}

static void piece(struct stub_writer *w, struct piece p)
{
	size_t at = w->at;

	bytes(w, p.begin, p.end - p.begin);
	if (w->failed)
		return;
	for (const struct stub_mark *m = mw_stub_marks; m < mw_stub_marks_end; m++) {
		size_t off = at + (m->at - p.begin);

		if (m->at < p.begin || m->at >= p.end)
			continue;
		if (m->kind >= MARK_SITE)
			site(w, off, m->kind - MARK_SITE);
		else if (m->kind >= MARK_ROW)
			row(w, off, m->kind - MARK_ROW);
		else
			hole(w, off, m->kind);
	}
}

static void align(struct stub_writer *w)
{
	while (w->at % 64 && !w->failed)
		bytes(w, "\xcc", 1);
}

enum reg { REG_RAX = 0, REG_RCX = 1, REG_RDX = 2, REG_RSI = 6, REG_RDI = 7, REG_R10 = 10 };

static const uint8_t arg_reg[] = {0, REG_RDI, REG_RSI, REG_RDX, REG_RCX};

/* The bytes asked for, in rax or r10; a product that does not fit is made one that is not
 * counted. */
static void size_into(struct stub_writer *w, enum mw_fn fn, enum reg to)
{
	const struct signature *s = allocs__signature(fn);
	uint8_t r = to & 7, base = to >> 3; /* REX.B or, shifted, REX.R */

	/* mov %…, %to */
	bytes(w, (uint8_t[]){0x48 | base, 0x89, 0xc0 | arg_reg[s->size] << 3 | r}, 3);
	if (s->times) { /* imul %…, %to; jno; or $-1, %to */
		bytes(w,
		      (uint8_t[]){0x48 | base << 2, 0x0f, 0xaf, 0xc0 | r << 3 | arg_reg[s->times],
				  0x71, 4, 0x48 | base, 0x83, 0xc8 | r, 0xff},
		      10);
	}
	if (fn == MW_FN_PVALLOC) /* add $4095, %to; and $-4096, %to */
		bytes(w,
		      (uint8_t[]){0x48 | base, 0x81, 0xc0 | r, 0xff, 0x0f, 0, 0, 0x48 | base, 0x81,
				  0xe0 | r, 0, 0xf0, 0xff, 0xff},
		      14);
}

/* Is the size one of the arguments as it is? */
static bool is_plain(enum mw_fn fn)
{
	return !allocs__signature(fn)->times && fn != MW_FN_PVALLOC;
}

static void jcc(struct stub_writer *w, uint8_t cc, uint32_t kind)
{
	uint8_t b[6] = {0x0f, 0x80 | cc};

	bytes(w, b, 6);
	if (!w->failed)
		hole(w, w->at - 4, kind);
}

static void jump(struct stub_writer *w, uint32_t kind)
{
	bytes(w, "\xe9\0\0\0\0", 5);
	if (!w->failed)
		hole(w, w->at - 4, kind);
}

/* The size off the slot; the call in which its gap ends is sampled. */
static void count(struct stub_writer *w, enum mw_fn fn)
{
	uint8_t r = arg_reg[allocs__signature(fn)->size];

	if (!is_plain(fn))
		size_into(w, fn, r = REG_RAX);
	bytes(w, (uint8_t[]){0x48, 0x85, 0xc0 | r << 3 | r}, 3); /* test; jle */
	jcc(w, 14, HOLE_ODD);
	bytes(w, (uint8_t[]){0x4b, 0x29, 0x04 | r << 3, 0xd3}, 4); /* sub %…, (%r11,%r10,8); jle */
	jcc(w, 14, HOLE_SLOW);
}

bool stub_func__repeats(const struct stub_func *f)
{
	bool counts = allocs__signature(f->fn)->does != MW_DOES_FREE;

	return f->entry.sets &
	       (ENTRY_FLAGS | ENTRY_R10_R11 | (counts && !is_plain(f->fn) ? ENTRY_RAX : 0));
}

/* No bytes count as one. What no allocator has is not counted: it would set the slot back by as
 * much. */
static void odd(struct stub_writer *w)
{
	place(w, HOLE_ODD);
	jcc(w, 8, HOLE_PASS);
	bytes(w, "\x4b\xff\x0c\xd3", 4); /* decq (%r11,%r10,8) */
	jcc(w, 14, HOLE_SLOW);
	jump(w, HOLE_PASS);
}

/* Calls that go on to another function of the family are that one's. */
static void left_to_others(struct stub_writer *w, const struct stub_func *f)
{
	uint8_t cmp[7] = {0x48, 0x81, f->fn == MW_FN_MEMALIGN ? 0xff : 0xfe};

	if (f->null_goes_on) {
		bytes(w, "\x48\x85\xff", 3);
		jcc(w, 4, HOLE_PASS);
	}
	if (f->align_goes_on) {
		memcpy(cmp + 3, &f->align_goes_on, 4);
		bytes(w, cmp, 7);
		jcc(w, 6, HOLE_PASS);
	}
}

/* Instructions of the function from `from` on, and back into it. */
static void moved(struct stub_writer *w, const struct entry *e, size_t from, uint32_t words)
{
	uint32_t offs[ENTRY_MAX_INSNS];
	size_t n = entry__move(e, from, here(w), w->im->code + w->at, w->cap - w->at, offs);

	if (!n) {
		w->failed = true;
		return;
	}
	for (size_t i = from; i < e->n; i++) {
		row(w, w->at + offs[i - from], words);
		words += e->insn[i].sp_words;
	}
	w->at += n;
	row(w, w->at - ENTRY_PATCH, words);
}

static void undo(struct stub_writer *w, const struct entry *e)
{
	bytes(w, e->undo, e->undo_len);
	row(w, w->at, 1);
}

/* What a call meets that goes on, sampled or not: see HOLE_*. */
static void slow_alloc(struct stub_writer *w, const struct stub_func *f)
{
	row(w, w->at, 1 + f->entry.insn[0].sp_words);
	odd(w);
	place(w, HOLE_SLOW);
	undo(w, &f->entry);
	piece(w, PIECE(refill));
	size_into(w, f->fn, REG_R10);
	if (allocs__signature(f->fn)->out) {
		piece(w, PIECE(memalign));
	} else if (f->target < 0) {
		piece(w, PIECE(alloc));
	} else {
		/* sub $40, %rsp; mov %rdi, (%rsp); mov %rsi, 8(%rsp); mov %rdx, 16(%rsp);
		 * mov %r10, 24(%rsp) */
		bytes(w, "\x48\x83\xec\x28\x48\x89\x3c\x24\x48\x89\x74\x24\x08", 13);
		row(w, w->at - 9, 6);
		bytes(w, "\x48\x89\x54\x24\x10\x4c\x89\x54\x24\x18", 10);
		if (f->aligned) /* xchg %rdi, %rsi */
			bytes(w, "\x48\x87\xf7", 3);
		else if (allocs__signature(f->fn)->size == 2) /* of a heap; mov %r10, %rsi */
			bytes(w, "\x4c\x89\xd6", 3);
		else /* mov %r10, %rdi */
			bytes(w, "\x4c\x89\xd7", 3);
		piece(w, PIECE(throwing));
	}
}

static void swap(struct stub_writer *w) /* xchg %rdi, %rsi */
{
	bytes(w, "\x48\x87\xfe", 3);
}

static bool is_second(const struct stub_func *f)
{
	return allocs__signature(f->fn)->old == 2;
}

/* The piece has the block in rdi. Where it is the second argument the two change places, and back
 * before the function runs. */
static void swapped_orig(struct stub_writer *w)
{
	uint64_t at = here(w);

	row(w, w->at, 1);
	swap(w);
	jump(w, HOLE_ORIG);
	w->to[HOLE_ORIG] = at;
}

static void slow_realloc(struct stub_writer *w, const struct stub_func *f)
{
	/* mov $…, %eax: the bits of the piece */
	uint8_t keeps = allocs__signature(f->fn)->does == MW_DOES_REALLOCF ? 4 : 0;
	uint8_t set[5] = {0xb8, keeps | 1};

	if (is_second(f))
		swapped_orig(w);
	row(w, w->at, 1 + f->entry.insn[0].sp_words);
	odd(w);
	place(w, HOLE_SLOW);
	undo(w, &f->entry);
	piece(w, PIECE(refill));
	bytes(w, set, 5);
	bytes(w, (uint8_t[]){0xeb, f->entry.undo_len + 5}, 2); /* jmp over what follows */
	place(w, HOLE_TRACKED);
	row(w, w->at, 1 + f->entry.insn[0].sp_words);
	undo(w, &f->entry);
	set[1] = keeps;
	bytes(w, set, 5);
	size_into(w, f->fn, REG_R10);
	if (is_second(f))
		swap(w);
	piece(w, PIECE(realloc));
}

static void function(struct stub_writer *w, const struct stub_func *f, int index, uint64_t *origs)
{
	const struct entry *e = &f->entry;
	uint32_t words = 1 + e->insn[0].sp_words;
	enum mw_does does = allocs__signature(f->fn)->does;
	uint64_t start;

	w->func = index;
	w->to[HOLE_ODD] = w->to[HOLE_SLOW] = w->to[HOLE_PASS] = w->to[HOLE_TRACKED] = 0;
	w->to[HOLE_ORIG] = origs[index];
	w->to[HOLE_TARGET] = f->target >= 0 ? origs[f->target] : 0;
	align(w);
	start = here(w);
	row(w, w->at, words);
	if (does != MW_DOES_FREE) {
		left_to_others(w, f);
		piece(w, PIECE(slot));
		count(w, f->fn);
	}
	if (does == MW_DOES_ALLOC || does == MW_DOES_THROW) {
		place(w, HOLE_PASS);
	} else {
		if (does != MW_DOES_FREE)
			place(w, HOLE_PASS);
		piece(w, is_second(f) ? PIECE(filter_second) : PIECE(filter));
	}
	moved(w, e, stub_func__repeats(f) ? 0 : 1, words);
	align(w);
	if (does == MW_DOES_FREE) {
		place(w, HOLE_TRACKED);
		row(w, w->at, words);
		undo(w, e);
		piece(w, PIECE(free));
	} else if (does == MW_DOES_REALLOC || does == MW_DOES_REALLOCF) {
		slow_realloc(w, f);
	} else {
		slow_alloc(w, f);
	}
	w->failed |= w->n_open != 0 || !entry__jump(e->patch, start, w->im->hdr.patch[index].is);
	w->im->hdr.patch[index].addr = e->patch;
	w->im->hdr.patch[index].len = e->back - e->patch;
	memcpy(w->im->hdr.patch[index].was, e->code + (e->patch - e->addr), ENTRY_PATCH);
}

size_t stub__code_bytes(size_t n)
{
	return (sizeof(struct stub_header) + 1024 + n * FUNC_BYTES + 4095) & ~(size_t)4095;
}

int stub__build(const struct stub_func *funcs, size_t n, uint64_t base, struct stub_image *im)
{
	struct stub_writer w = {.im = im, .cap = stub__code_bytes(n), .base = base};
	uint64_t data = base + w.cap, origs[STUB_MAX_FUNCS];

	memset(im, 0, sizeof(*im));
	if (!n || n > STUB_MAX_FUNCS)
		return -E2BIG;
	im->code = malloc(w.cap);
	if (!im->code)
		return -ENOMEM;
	memset(im->code, 0xcc, w.cap);
	w.at = sizeof(im->hdr);
	w.to[HOLE_SLOTS] = data + DATA_SLOTS;
	w.to[HOLE_FILTER] = data + DATA_FILTER;
	w.to[HOLE_BUCKETS] = data + DATA_BUCKETS;
	w.to[HOLE_GAPS] = data + DATA_GAPS;
	w.to[HOLE_RATE] = data + DATA_RATE;
	w.to[HOLE_FULL] = data + DATA_FULL;
	align(&w);
	place(&w, HOLE_PUT);
	piece(&w, PIECE(put));
	align(&w);
	place(&w, HOLE_TAKE);
	piece(&w, PIECE(take));
	for (size_t i = 0; i < n && !w.failed; i++) { /* whole functions, as others call them */
		align(&w);
		origs[i] = here(&w);
		moved(&w, &funcs[i].entry, 0, 1);
	}
	for (size_t i = 0; i < n && !w.failed; i++)
		function(&w, &funcs[i], i, origs);
	im->hdr.magic = STUB_MAGIC;
	im->hdr.base = base;
	im->hdr.code_bytes = w.cap;
	im->hdr.data_bytes = DATA_BYTES;
	im->hdr.n = n;
	im->hdr.n_sites = im->n_sites;
	memcpy(im->code, &im->hdr, sizeof(im->hdr));
	if (!w.failed)
		return 0;
	stub_image__fini(im);
	return -ERANGE;
}

void stub_image__fini(struct stub_image *im)
{
	free(im->code);
	im->code = NULL;
}

static uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return util__mix64(*state);
}

/* The gaps of mean 1, at which the exponential distribution is divided into equal parts. */
static void mean_gaps(uint32_t gaps[N_GAPS])
{
	double sum = 0;

	for (int i = 0; i < N_GAPS; i++)
		sum += -log((i + 0.5) / N_GAPS);
	for (int i = 0; i < N_GAPS; i++)
		gaps[i] = (uint32_t)(-log((i + 0.5) / N_GAPS) * N_GAPS / sum * GAP_ONE + 0.5);
}

void stub__slots(uint8_t *slots, uint64_t rate, uint64_t seed)
{
	uint32_t gaps[N_GAPS];

	mean_gaps(gaps);
	for (int i = 0; i < N_SLOTS; i++) {
		uint64_t left = gaps[next_random(&seed) % N_GAPS] * rate / GAP_ONE;

		memcpy(slots + i * 8, &left, 8);
	}
	for (int i = 0; i < N_SLOTS / SLOTS_A_LINE; i++) {
		uint64_t state = next_random(&seed);

		memcpy(slots + (N_SLOTS + i) * 8, &state, 8);
	}
}

void stub__data(uint8_t *data, uint64_t rate, uint64_t seed)
{
	uint32_t gaps[N_GAPS];

	mean_gaps(gaps);
	memset(data, 0, DATA_FILTER);
	memcpy(data + DATA_RATE, &rate, 8);
	memcpy(data + DATA_GAPS, gaps, sizeof(gaps));
	stub__slots(data + DATA_SLOTS, rate, seed);
}
