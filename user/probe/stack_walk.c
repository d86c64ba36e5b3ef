/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/stack_walk.h"

#include <errno.h>
#include <string.h>

#include "memwatch/stack_hash.h"

typedef __u64 u64;
typedef __u32 u32;
typedef __u16 u16;
typedef __s32 s32;
typedef __s16 s16;
typedef __s64 s64;

#include "../../bpf/unwind_step.h"

struct stack_walk {
	struct mw_walk w;
	const struct stack_walk_source *src;
	const struct mw_ev_copy *ev;
	const uint64_t *words; /* of the table of the mapping that the walk is in */
	uint64_t *pc;
	bool beyond; /* it led to where the copy ends, and the stack perhaps not */
};

/* What unwind_step.h asks for. */
#define WALK_PART static
typedef struct stack_walk *walk_t;

static inline struct mw_walk *walk_state(walk_t w)
{
	return &w->w;
}

static const struct mw_unwind_hdr *header(const struct stack_walk *w)
{
	return (const struct mw_unwind_hdr *)w->words;
}

/* The mapping around pc: the one that stopped the kernel, or one of the process's others. */
static bool mapping_at(const struct stack_walk *w, u64 pc, struct mw_unwind_vma *ret)
{
	const struct mw_ev_copy *ev = w->ev;
	const struct mw_unwind_vma *v;

	if (pc - ev->start < ev->end - ev->start) {
		*ret = (struct mw_unwind_vma){.start = ev->start,
					      .end = ev->end,
					      .off = ev->off,
					      .key = {ev->dev, ev->ino, ev->gen}};
		return true;
	}
	v = w->src->maps ? vma_list__at(w->src->maps, pc) : NULL;
	if (v)
		*ret = *v;
	return v;
}

static int walk_enter(walk_t w, u64 pc)
{
	struct mw_walk *st = &w->w;
	struct mw_unwind_vma v;

	st->kind = KIND_NONE;
	st->start = st->end = 0;
	if (!mapping_at(w, pc, &v))
		return MW_STACK_NO_MAPPING;
	if (v.kind != MW_UNWIND_VMA_ANON && w->src->table(w->src->arg, &v.key, &w->words))
		return MW_STACK_NO_TABLE;
	st->start = v.start;
	st->end = v.end;
	st->bias = v.off - v.start;
	st->kind = v.kind == MW_UNWIND_VMA_ANON ? KIND_ANON : w->words ? KIND_TABLE : KIND_NOTABLE;
	if (st->kind == KIND_TABLE)
		st->file.sides = header(w)->sides;
	return 0;
}

static inline u64 walk_row(struct mw_walk *st, walk_t w, u64 off)
{
	const struct unwind_table t = {.words = (uint64_t *)w->words};
	const struct mw_unwind_hdr *h = header(w);
	const struct mw_unwind_row *row;
	u64 v = 0;

	if (off >> 32 || (off >> MW_UNWIND_PAGE_SHIFT) - h->first_page >= h->n_pages)
		return 0;
	row = unwind_table__find(&t, off);
	if (row)
		memcpy(&v, row, sizeof(v));
	return v;
}

static inline int walk_words(struct mw_walk *st, u32 i, u64 *ret)
{
	const struct stack_walk *w = (const void *)st;
	const struct mw_unwind_hdr *h = header(w);

	if (i < h->sides || i + 2 > h->sides + 2 * h->n_sides)
		return -1;
	memcpy(ret, w->words + i, 2 * sizeof(*ret));
	return 0;
}

static inline int walk_read(struct mw_walk *st, void *dst, u32 n, u64 at)
{
	struct stack_walk *w = (void *)st;
	int err = copied_stack__read(w->src->stack, w->ev, dst, n, at);

	w->beyond = err && at + n - w->ev->base > MW_COPY_CHUNKS * MW_COPY_CHUNK;
	return err;
}

static inline bool walk_stack(struct mw_walk *st, u64 at, u64 *ret)
{
	return !walk_read(st, ret, sizeof(*ret), at);
}

static inline u64 walk_reg(struct mw_walk *st, u32 i)
{
	const struct mw_ev_copy *ev = ((struct stack_walk *)st)->ev;

	return i < MW_COPY_REGS && ev->exact && !ev->gregs ? ev->regs[i] : 0;
}

static u32 walk_code_words(walk_t w, u64 pc)
{
	return w->src->code_words ? w->src->code_words(w->src->arg, pc) : 0;
}

static u64 walk_replaced(walk_t w, u64 at)
{
	for (u32 i = 0; i < w->ev->n_replaced && i < MW_COPY_REPLACED; i++) {
		if (w->ev->replaced[i].at == at)
			return w->ev->replaced[i].pc;
	}
	return 0;
}

static inline int walk_frame(walk_t w, u32 n, u64 pc)
{
	if (n >= w->src->max_frames)
		return 1;
	w->pc[n] = pc;
	return 0;
}

#include "../../bpf/unwind_step.h" /* again: now the steps themselves */

enum mw_stack_end stack_walk__finish(const struct stack_walk_source *src,
				     const struct mw_ev_copy *ev, uint64_t *pc, uint32_t *ret_n)
{
	struct stack_walk walk = {
		.w = {.pc = ev->pc,
		      .sp = ev->sp,
		      .fp = ev->fp,
		      .gregs = ev->gregs,
		      .trampoline = ev->trampoline,
		      .n = ev->st.n - 1, /* whose step was not taken */
		      .exact = ev->exact,
		      .guessed = ev->guessed},
		.src = src,
		.ev = ev,
		.pc = pc,
	};

	memcpy(pc, ev + 1, 8 * (size_t)ev->st.n);
	while (!unwind_step(&walk))
		;
	*ret_n = walk.w.n;
	if (walk.w.cause == MW_STACK_READ_FAULT && walk.beyond)
		return MW_STACK_OVER_BUDGET;
	return walk.w.cause;
}

uint64_t stack_walk__id(const struct mw_ev_copy *ev, const uint64_t *pc, uint32_t n)
{
	uint64_t h = mw_stack_hash_begin(ev->st.hdr.target, ev->st.epoch, n);

	for (uint32_t i = 0; i < n; i++)
		h = mw_stack_hash_add(h, pc[i]);
	return mw_stack_hash_end(h);
}
