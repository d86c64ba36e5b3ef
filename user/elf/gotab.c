/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/gotab.h"

#include "core/util.h"

#include <string.h>

#define MAGIC_12 0xfffffffbu
#define MAGIC_116 0xfffffffau
#define MAGIC_118 0xfffffff0u
#define MAGIC_120 0xfffffff1u

#define PCDATA_INL_TREE 2
#define FUNCDATA_INL_TREE 3
#define MAX_FUNCS (64u << 20)

static bool get_u32(const uint8_t *p, size_t len, uint64_t off, uint32_t *ret)
{
	if (off > len || len - off < 4)
		return false;
	memcpy(ret, p + off, 4);
	return true;
}

static bool get_u64(const struct gotab *t, uint64_t off, uint64_t *ret)
{
	if (off > t->len || t->len - off < 8)
		return false;
	memcpy(ret, t->p + off, 8);
	return true;
}

/* A NUL-terminated string inside the table, or NULL. */
static const char *get_str(const struct gotab *t, uint64_t off)
{
	if (off >= t->len || !memchr(t->p + off, 0, min_of(t->len - off, (size_t)1 << 16)))
		return NULL;
	return (const char *)t->p + off;
}

int gotab__open(const uint8_t *p, size_t len, uint64_t text, struct gotab *ret)
{
	struct gotab t = {.p = p, .len = len};
	uint64_t nfunc, start, off[5];
	uint32_t magic;

	if (!get_u32(p, len, 0, &magic) || len < 72)
		return -ENOEXEC;
	if (magic == MAGIC_12 || magic == MAGIC_116)
		return -ENOTSUP;
	if (magic != MAGIC_118 && magic != MAGIC_120)
		return -ENOEXEC;
	t.format = magic == MAGIC_118 ? GOTAB_118 : GOTAB_120;
	t.min_lc = p[6];
	if (p[4] || p[5] || p[7] != 8 || (t.min_lc != 1 && t.min_lc != 2 && t.min_lc != 4))
		return -EBADMSG;
	get_u64(&t, 8, &nfunc);
	get_u64(&t, 24, &start);
	for (int i = 0; i < 5; i++) {
		get_u64(&t, 32 + 8 * (uint64_t)i, &off[i]);
		if (off[i] >= len)
			return -EBADMSG;
	}
	t.names = off[0];
	t.cus = off[1];
	t.files = off[2];
	t.pcs = off[3];
	t.funcs = off[4];
	if (nfunc == 0 || nfunc > MAX_FUNCS || nfunc * 8 + 4 > len - t.funcs)
		return -EBADMSG;
	t.nfunc = (uint32_t)nfunc;
	t.text = text ? text : start;
	*ret = t;
	return 0;
}

static size_t func_fixed(const struct gotab *t)
{
	return t->format == GOTAB_118 ? 40 : 44;
}

int gotab__func_at(const struct gotab *t, uint32_t i, struct gotab_func *ret)
{
	struct gotab_func f = {0};
	uint32_t entry, off, end, name, line = 0;
	uint64_t rec, at;

	if (i >= t->nfunc)
		return -ENOENT;
	at = t->funcs + (uint64_t)i * 8;
	if (!get_u32(t->p, t->len, at, &entry) || !get_u32(t->p, t->len, at + 4, &off) ||
	    !get_u32(t->p, t->len, at + 8, &end) || end < entry)
		return -EBADMSG;
	rec = t->funcs + off;
	if (rec > t->len || t->len - rec < func_fixed(t) || !get_u32(t->p, t->len, rec + 4, &name))
		return -EBADMSG;
	f.off = (uint32_t)(rec - t->funcs);
	f.entry = t->text + entry;
	f.end = t->text + end;
	f.name = get_str(t, t->names + name);
	if (!f.name)
		return -EBADMSG;
	get_u32(t->p, t->len, rec + 28, &f.npcdata);
	if (t->format == GOTAB_120)
		get_u32(t->p, t->len, rec + 36, &line);
	f.start_line = (int32_t)line;
	rec += func_fixed(t) - 4;
	f.id = t->p[rec];
	f.flag = t->p[rec + 1];
	f.nfuncdata = t->p[rec + 3];
	*ret = f;
	return 0;
}

int gotab__func_of(const struct gotab *t, uint64_t pc, struct gotab_func *ret)
{
	uint32_t lo = 0, hi = t->nfunc, v;

	if (pc < t->text || pc - t->text > UINT32_MAX)
		return -ENOENT;
	uint32_t want = (uint32_t)(pc - t->text);
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (!get_u32(t->p, t->len, t->funcs + (uint64_t)mid * 8, &v))
			return -EBADMSG;
		if (v <= want)
			lo = mid;
		else
			hi = mid;
	}
	int err = gotab__func_at(t, lo, ret);

	if (err)
		return err;
	return pc >= ret->entry && pc < ret->end ? 0 : -ENOENT;
}

int gotab__func_named(const struct gotab *t, const char *name, struct gotab_func *ret)
{
	for (uint32_t i = 0; i < t->nfunc; i++) {
		int err = gotab__func_at(t, i, ret);

		if (err)
			return err;
		if (!strcmp(ret->name, name))
			return 0;
	}
	return -ENOENT;
}

static bool get_varint(const struct gotab *t, uint64_t *off, uint32_t *ret)
{
	uint32_t v = 0;

	for (int shift = 0; shift < 35; shift += 7) {
		if (*off >= t->len)
			return false;
		uint8_t b = t->p[(*off)++];

		v |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* Value at pc of one of the function's delta-coded tables; -1 where it has none. */
static int pc_value(const struct gotab *t, const struct gotab_func *f, uint32_t table, uint64_t pc,
		    int32_t *ret)
{
	uint64_t off = t->pcs + table, at = f->entry;
	uint32_t val = UINT32_MAX, dv, dp;

	*ret = -1;
	if (!table)
		return -ENOENT;
	for (bool first = true;; first = false) {
		if (!get_varint(t, &off, &dv))
			return -EBADMSG;
		if (!dv && !first)
			return -ENOENT;
		if (!get_varint(t, &off, &dp))
			return -EBADMSG;
		val += dv & 1 ? ~(dv >> 1) : dv >> 1;
		at += (uint64_t)dp * t->min_lc;
		if (pc < at) {
			*ret = (int32_t)val;
			return 0;
		}
		if (at > f->end)
			return -EBADMSG;
	}
}

static bool func_field(const struct gotab *t, const struct gotab_func *f, size_t off, uint32_t *ret)
{
	return get_u32(t->p, t->len, t->funcs + f->off + off, ret);
}

static bool pcdata(const struct gotab *t, const struct gotab_func *f, uint32_t i, uint32_t *ret)
{
	return i < f->npcdata && func_field(t, f, func_fixed(t) + (size_t)i * 4, ret);
}

static bool funcdata(const struct gotab *t, const struct gotab_func *f, uint32_t i, uint32_t *ret)
{
	return i < f->nfuncdata && f->npcdata < 1024 &&
	       func_field(t, f, func_fixed(t) + ((size_t)f->npcdata + i) * 4, ret) &&
	       *ret != UINT32_MAX;
}

static const char *file_name(const struct gotab *t, const struct gotab_func *f, uint64_t pc)
{
	uint32_t table, cu, off;
	int32_t n;
	const char *s;

	if (!func_field(t, f, 20, &table) || !func_field(t, f, 32, &cu) ||
	    pc_value(t, f, table, pc, &n) || n < 0 ||
	    !get_u32(t->p, t->len, t->cus + ((uint64_t)cu + (uint32_t)n) * 4, &off) ||
	    off == UINT32_MAX)
		return "?";
	s = get_str(t, t->files + off);
	return s ? s : "?";
}

static int32_t line_number(const struct gotab *t, const struct gotab_func *f, uint64_t pc)
{
	uint32_t table;
	int32_t n;

	if (!func_field(t, f, 24, &table) || pc_value(t, f, table, pc, &n) || n < 0)
		return 0;
	return n;
}

struct inlined_call {
	uint8_t func_id;
	uint32_t name, parent_pc;
	int32_t start_line;
};

/* The inlined call that pc is in; false if pc is in the function itself. */
static bool inlined_at(const struct gotab *t, const struct gotab_func *f, uint64_t pc,
		       struct inlined_call *ret)
{
	uint32_t table, tree, v;
	uint64_t at;
	int32_t ix;

	if (!t->gofunc || !funcdata(t, f, FUNCDATA_INL_TREE, &tree) ||
	    !pcdata(t, f, PCDATA_INL_TREE, &table) || pc_value(t, f, table, pc, &ix) || ix < 0)
		return false;
	size_t size = t->format == GOTAB_118 ? 20 : 16;

	at = tree + (uint64_t)ix * size;
	if (at > t->gofunc_len || t->gofunc_len - at < size)
		return false;
	const uint8_t *p = t->gofunc + at;
	ret->start_line = 0;
	if (t->format == GOTAB_118) {
		ret->func_id = p[2];
		memcpy(&ret->name, p + 12, 4);
		memcpy(&ret->parent_pc, p + 16, 4);
		return true;
	}
	ret->func_id = p[0];
	memcpy(&ret->name, p + 4, 4);
	memcpy(&ret->parent_pc, p + 8, 4);
	memcpy(&v, p + 12, 4);
	ret->start_line = (int32_t)v;
	return true;
}

/* One frame at pc; *ret_parent is the caller's instruction if it was inlined. */
static bool frame_at(const struct gotab *t, const struct gotab_func *f, uint64_t pc,
		     struct gotab_frame *ret, uint64_t *ret_parent)
{
	struct inlined_call call;
	const char *name;

	*ret = (struct gotab_frame){
		.name = f->name,
		.file = file_name(t, f, pc),
		.line = line_number(t, f, pc),
		.start_line = f->start_line,
		.entry = f->entry,
		.return_pc = pc + 1,
		.func_id = f->id,
	};
	if (!inlined_at(t, f, pc, &call))
		return false;
	name = get_str(t, t->names + (uint64_t)call.name);
	ret->name = name ? name : "?";
	ret->start_line = call.start_line;
	ret->func_id = call.func_id;
	ret->inlined = true;
	*ret_parent = f->entry + call.parent_pc;
	return true;
}

int gotab__frames(const struct gotab *t, uint64_t pc, struct gotab_frame *frames, int max)
{
	struct gotab_func f;
	uint64_t parent;
	int n = 0;

	if (gotab__func_of(t, pc, &f))
		return 0;
	while (n < max && n < GOTAB_MAX_INLINE) {
		bool more = frame_at(t, &f, pc, &frames[n++], &parent);

		/* A parent outside the function would be a damaged tree: end there. */
		if (!more || parent < f.entry || parent >= f.end || parent == pc)
			break;
		pc = parent;
	}
	return n;
}

bool gotab__frame(const struct gotab *t, uint64_t pc, struct gotab_frame *ret)
{
	struct gotab_func f;
	uint64_t parent;

	if (gotab__func_of(t, pc, &f))
		return false;
	frame_at(t, &f, pc, ret, &parent);
	return true;
}

int gotab__sp_delta(const struct gotab *t, const struct gotab_func *f, uint64_t pc, int32_t *ret)
{
	uint32_t table;

	if (!func_field(t, f, 16, &table))
		return -EBADMSG;
	return pc_value(t, f, table, pc, ret);
}

/* The ids shifted when functions were added: 1.22 corostart, 1.26 runCleanups. */
struct file_ids {
	int minor; /* since 1.MINOR */
	uint8_t wrapper, gopanic, sigpanic, panicwrap;
};
static const struct file_ids file_ids[] = {
	{18, 21, 9, 18, 14}, {22, 22, 10, 19, 15}, {26, 23, 10, 20, 15}};

static struct file_ids ids_of(int minor)
{
	size_t i = ARRAY_SIZE(file_ids) - 1;

	while (i && file_ids[i].minor > minor)
		i--;
	return file_ids[i];
}

bool gotab__is_wrapper(int minor, uint8_t func_id)
{
	return func_id == ids_of(minor).wrapper;
}

bool gotab__shows_wrapper(int minor, uint8_t callee_id)
{
	struct file_ids i = ids_of(minor);

	return callee_id == i.gopanic || callee_id == i.sigpanic || callee_id == i.panicwrap;
}
