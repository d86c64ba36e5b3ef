// SPDX-License-Identifier: GPL-2.0-only
/* unwind.bpf.c - see unwind.h. */
#include "unwind.h"

const volatile __u32 unwind_on = 0; /* set by userspace where the kernel has what it takes */
const volatile __u32 unwind_page_shift = 12; /* of the kernel: what vm_pgoff counts */
__u32 unwind_tick = 1; /* advanced by userspace; stamps files that are in use */

#define JUMP_LIMIT (1 << 20) /* a frame pointer further away than this is not one */
#define RET_INSTANCES 64     /* nested return probes looked through per frame */
#define VM_EXEC 4
#define FIND_ATTEMPTS 16 /* a writer holds the mapping lock for moments only */

/* x86-64: where the kernel's signal frame keeps the interrupted registers, from the handler's CFA.
 */
#define UC_GREGS 40
#define GREG_RBP 10
#define GREG_RSP 15
#define GREG_RIP 16
#define DWARF_RBP 6
#define DWARF_RSP 7

enum unwind_kind {
	KIND_NONE = 0,
	KIND_TABLE,   /* a file with a table */
	KIND_NOTABLE, /* a file known to have none */
	KIND_ANON,    /* no file: JIT code */
};

struct elem {
	u64 w[MW_UNWIND_ELEM];
};

struct inner_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct elem));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MW_UNWIND_TABLES);
	__type(key, u32);
	__array(values, struct inner_table);
} unwind_tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MW_UNWIND_FILES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct mw_unwind_key);
	__type(value, struct mw_unwind_file);
} unwind_files SEC(".maps");

/* Files asked for and not answered yet: each is reported once. Userspace removes the entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MW_UNWIND_FILES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct mw_unwind_key);
	__type(value, u32);
} unwind_wanted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_SCRATCH_SLOTS);
	__type(key, u32);
	__type(value, struct mw_unwind_state);
} unwind_states SEC(".maps");

/* Rows found before, by file and offset. Two programs may write an entry at the same time, so the
 * key is stored mixed with the row: halves of two entries do not match either key. */
struct cached_row {
	u64 key_xor_row, row;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_UNWIND_ROW_CACHE);
	__type(key, u32);
	__type(value, struct cached_row);
} unwind_rows SEC(".maps");

/* What bpf_find_vma found, on the walker's stack. */
struct found {
	u64 start, end, off;
	struct mw_unwind_key key;
	u32 exec, anon;
};

/*
 * Mappings seen, by page of code, for moments when the mapping lock cannot be had: a writer holds
 * it, or interrupts are off and the kernel allows a single look-up (page faults).
 */
struct cached_vma {
	u64 tag; /* process, epoch and page; 0 while being written */
	struct found f;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_UNWIND_VMA_CACHE);
	__type(key, u32);
	__type(value, struct cached_vma);
} unwind_vmas SEC(".maps");

/*
 * A process's executable mappings as the iterator saw them last: where interrupts are off, the
 * kernel allows one look-up a stack, and a page may not have been cached before.
 */
#define MW_UNWIND_PROC_VMAS 64
struct proc_vmas {
	u32 n, pad;
	struct found f[MW_UNWIND_PROC_VMAS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* an eviction costs a look-up that may fail */
	__uint(max_entries, 512);
	__type(key, u32);
	__type(value, struct proc_vmas);
} unwind_procs SEC(".maps");

static __always_inline bool find_in_process(u64 pc, struct found *f)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct proc_vmas *p = bpf_map_lookup_elem(&unwind_procs, &tgid);

	if (!p)
		return false;
	for (u32 i = 0; i < MW_UNWIND_PROC_VMAS; i++) {
		if (i >= p->n)
			break;
		if (pc - p->f[i].start < p->f[i].end - p->f[i].start) {
			*f = p->f[i];
			return true;
		}
	}
	return false;
}

static __always_inline void key_of_vma(struct vm_area_struct *vma, struct mw_unwind_key *key,
				       u32 *anon)
{
	struct file *file = vma->vm_file;
	struct inode *inode;

	key->dev = key->ino = key->gen = 0;
	*anon = 0;
	if (file) {
		inode = file->f_inode;
		key->dev = inode->i_sb->s_dev;
		key->ino = inode->i_ino;
		key->gen = inode->i_generation;
	} else if (vma->vm_start != (u64)vma->vm_mm->context.vdso) {
		*anon = 1;
	}
}

static long vma_found(struct task_struct *task, struct vm_area_struct *vma, struct found *f)
{
	f->start = vma->vm_start;
	f->end = vma->vm_end;
	f->exec = !!(vma->vm_flags & VM_EXEC);
	f->off = vma->vm_file ? vma->vm_pgoff << unwind_page_shift : 0;
	key_of_vma(vma, &f->key, &f->anon);
	return 0;
}

static __always_inline u64 vma_tag(u64 pc, u32 epoch)
{
	u64 tgid = bpf_get_current_pid_tgid() >> 32;

	return ((pc >> 12) ^ tgid << 40 ^ (u64)epoch << 30) | 1ULL << 63;
}

static __always_inline struct cached_vma *vma_cached(u64 tag)
{
	u32 i = (tag ^ tag >> 13 ^ tag >> 40) & (MW_UNWIND_VMA_CACHE - 1);

	return bpf_map_lookup_elem(&unwind_vmas, &i);
}

/* Mapping of pc into *f; 0 or the cause. */
static __always_inline u32 find_mapping(u64 pc, u32 epoch, struct found *f)
{
	u64 tag = vma_tag(pc, epoch);
	struct cached_vma *c = vma_cached(tag);
	long err = -MW_EBUSY;

	if (!c)
		return MW_STACK_NO_MAPPING;
	for (int i = 0; i < FIND_ATTEMPTS; i++) {
		err = bpf_find_vma(bpf_get_current_task_btf(), pc, vma_found, f, 0);
		if (err != -MW_EBUSY || c->tag == tag)
			break;
	}
	if (err == -MW_EBUSY) {
		if (c->tag == tag) {
			*f = c->f;
			barrier();
		}
		if (c->tag != tag && !find_in_process(pc, f))
			return MW_STACK_VMA_BUSY;
	} else if (err) {
		return MW_STACK_NO_MAPPING;
	} else if (c->tag != tag && f->exec) {
		c->tag = 0;
		barrier();
		c->f = *f;
		barrier();
		c->tag = tag;
	}
	/* the second look holds for a cached entry whose page was shared by two mappings */
	return f->exec && pc >= f->start && pc < f->end ? 0 : MW_STACK_NO_MAPPING;
}

static __always_inline void want_file(struct mw_scratch *s, const struct mw_unwind_key *key, u64 pc)
{
	u32 tgid = s->ev.pid;
	struct mw_ev_file ev = {
		.hdr = {.type = MW_EV_UNKNOWN_FILE,
			.target = s->ev.hdr.target,
			.tid = s->ev.hdr.tid},
		.dev = key->dev,
		.ino = key->ino,
		.gen = key->gen,
		.pc = pc,
		.pid = tgid,
	};

	if (bpf_map_update_elem(&unwind_wanted, key, &tgid, BPF_NOEXIST))
		return;
	ev.hdr.time_ns = bpf_ktime_get_ns();
	if (bpf_ringbuf_output(&events, &ev, sizeof(ev), BPF_RB_FORCE_WAKEUP)) {
		lost(s->ev.hdr.target, MW_LOSS_CODE_RING);
		bpf_map_delete_elem(&unwind_wanted, key);
	}
}

/*
 * The rare or branching parts of a step are global functions with integer arguments: the verifier
 * looks at each once, not on every path that leads there.
 */

/* Fills the state's mapping for pc. 0 or the cause. */
__noinline int unwind_enter(u32 slot, u64 pc)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);
	struct found f = {};
	struct mw_unwind_file *file;
	u32 cause;

	if (!st || !s)
		return MW_STACK_FAULT;
	st->kind = KIND_NONE;
	st->start = st->end = 0;
	cause = find_mapping(pc, st->epoch, &f);
	if (cause)
		return cause;
	st->start = f.start;
	st->end = f.end;
	st->bias = f.off - f.start;
	if (f.anon) {
		st->kind = KIND_ANON;
		return 0;
	}
	file = bpf_map_lookup_elem(&unwind_files, &f.key);
	if (!file) {
		want_file(s, &f.key, pc);
		st->end = 0;
		return MW_STACK_NO_TABLE;
	}
	st->file = *file;
	st->kind = file->state == MW_UNWIND_FILE_TABLE ? KIND_TABLE : KIND_NOTABLE;
	if (file->used != unwind_tick)
		file->used = unwind_tick;
	return 0;
}

static __always_inline u64 word(void *table, u32 i)
{
	u32 e = i >> MW_UNWIND_ELEM_SHIFT;
	struct elem *elem = bpf_map_lookup_elem(table, &e);

	return elem ? elem->w[i & (MW_UNWIND_ELEM - 1)] : 0;
}

/* All ones if the row's offset is at or below `off`, else 0: a branch would double the verifier's
 * work at every step of a search, and the processor mispredicts it half the time. */
static __always_inline u32 at_or_below(u64 row, u32 off)
{
	u64 d = (u64)(u32)row - off - 1;

	barrier_var(d);
	return (u32)((s64)d >> 63);
}

/* The row that holds at file offset `off` of the state's file; 0 (END) if there is none. */
__noinline u64 unwind_search(u32 slot, u32 off)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	u32 page, from, to, before, e, n, base;
	struct elem *elem;
	void *table;
	u64 w;

	if (!st)
		return 0;
	table = bpf_map_lookup_elem(&unwind_tables, &st->file.slot);
	page = (off >> MW_UNWIND_PAGE_SHIFT) - st->file.first_page;
	if (!table || page >= st->file.n_pages)
		return 0; /* evicted this moment; behind the last page there is no code */
	w = word(table, st->file.pages + page);
	from = st->file.rows + (u32)w;
	to = st->file.rows + (u32)(w >> 32);
	before = from > st->file.rows ? from - 1 : 0; /* a row that began in an earlier page */
	if (to <= from)
		return before ? word(table, before) : 0;

	/* the element with the last row at or below off */
	e = from >> MW_UNWIND_ELEM_SHIFT;
	n = ((to - 1) >> MW_UNWIND_ELEM_SHIFT) - e + 1;
	for (int i = 0; i <= MW_UNWIND_PAGE_SHIFT + 1 - MW_UNWIND_ELEM_SHIFT; i++) {
		u32 half = n >> 1, mid = e + half;

		if (n <= 1)
			break;
		elem = bpf_map_lookup_elem(table, &mid);
		if (!elem)
			return 0;
		e += half & at_or_below(elem->w[0], off);
		n -= half;
	}

	elem = bpf_map_lookup_elem(table, &e);
	if (!elem)
		return 0;
	base = e << MW_UNWIND_ELEM_SHIFT;
	n = to - base < MW_UNWIND_ELEM ? to - base : MW_UNWIND_ELEM;
	base = from > base ? from - base : 0; /* now an index in the element */
	n -= base;
#pragma unroll
	for (int i = 0; i < MW_UNWIND_ELEM_SHIFT; i++) {
		u32 half = n >> 1;

		base += half & at_or_below(elem->w[(base + half) & (MW_UNWIND_ELEM - 1)], off);
		n -= half;
	}
	w = elem->w[base & (MW_UNWIND_ELEM - 1)];
	if ((u32)w <= off)
		return w;
	return before ? word(table, before) : 0;
}

static __always_inline u64 find_row(struct mw_unwind_state *st, u32 slot, u64 off)
{
	u64 key = (u64)st->file.id << 32 | off, row;
	u32 i = (u32)(key ^ key >> 14 ^ key >> 29) & (MW_UNWIND_ROW_CACHE - 1);
	struct cached_row *c = bpf_map_lookup_elem(&unwind_rows, &i);

	if (off >> 32 || !c)
		return 0;
	row = c->row;
	if ((c->key_xor_row ^ row) == key)
		return row;
	row = unwind_search(slot, off);
	c->key_xor_row = key ^ row;
	c->row = row;
	return row;
}

/* A word of the user's stack, through the window. */
static __always_inline bool read_stack(struct mw_unwind_state *st, u64 at, u64 *ret)
{
	u64 i = (at - st->win_base) >> 3;

	if (!(at & 7) && i < MW_UNWIND_WINDOW) {
		*ret = st->win[i & (MW_UNWIND_WINDOW - 1)];
		return true;
	}
	if (!(at & 7) && !bpf_probe_read_user(st->win, sizeof(st->win), (void *)at)) {
		st->win_base = at;
		*ret = st->win[0];
		return true;
	}
	st->win_base = -1ULL << 12; /* a failed copy leaves zeros */
	return !bpf_probe_read_user(ret, 8, (void *)at);
}

/* A register of the interrupted code by its DWARF number, 0 if unknown: all but the stack and the
 * frame pointer are known in the exact frame only. */
__noinline u64 unwind_reg(u32 slot, u32 reg)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	/* DWARF number → index in struct pt_regs (r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx
	 * rsi rdi … rsp at 19) and in the signal frame's gregs (r8…r15 rdi rsi rbp rbx rdx rax rcx
	 * rsp). */
	u32 in_regs, in_gregs;
	u64 v = 0;

	if (!st)
		return 0;
	if (reg == DWARF_RBP)
		return st->fp;
	if (reg == DWARF_RSP)
		return st->sp;
	if (!st->exact)
		return 0;
	switch (reg) {
	case 0:
		in_regs = 10;
		in_gregs = 13;
		break;
	case 1:
		in_regs = 12;
		in_gregs = 12;
		break;
	case 2:
		in_regs = 11;
		in_gregs = 14;
		break;
	case 3:
		in_regs = 5;
		in_gregs = 11;
		break;
	case 4:
		in_regs = 13;
		in_gregs = 9;
		break;
	case 5:
		in_regs = 14;
		in_gregs = 8;
		break;
	default:
		if (reg > 15)
			return 0;
		in_gregs = reg - 8;
		in_regs = reg < 12 ? 17 - reg : 15 - reg; /* r8…r11: 9…6, r12…r15: 3…0 */
		break;
	}
	if (st->gregs)
		bpf_probe_read_user(&v, 8, (void *)(st->gregs + 8 * in_gregs));
	else
		bpf_probe_read_kernel(
			&v, 8, (u64 *)bpf_task_pt_regs(bpf_get_current_task_btf()) + in_regs);
	return v;
}

/* A return address that a return probe replaced, by the stack slot it was in. */
__noinline u64 unwind_replaced(u32 slot, u64 at)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	struct return_instance *ri;

	if (!st)
		return 0;
	ri = (void *)st->ret_inst;
	for (int i = 0; i < RET_INSTANCES && ri; i++) {
		struct return_instance *next = BPF_CORE_READ(ri, next);

		if (BPF_CORE_READ(ri, stack) == at) {
			st->ret_inst = (u64)next;
			return BPF_CORE_READ(ri, orig_ret_vaddr);
		}
		ri = next;
	}
	return 0;
}

/* Leaves the frame: its caller is at pc (read from `at`) with the given stack and frame pointer.
 * 1: the end. */
static __always_inline int leave(struct mw_unwind_state *st, u32 slot, u64 pc, u64 at, u64 sp,
				 u64 fp)
{
	if (pc && pc == st->trampoline)
		pc = unwind_replaced(slot, at);
	st->cause = MW_STACK_OK;
	if (!pc)
		return 1; /* nothing called this: threads started by hand */
	st->pc = pc;
	st->sp = sp;
	st->fp = fp;
	st->exact = 0;
	return 0;
}

static __always_inline int stop(struct mw_unwind_state *st, u32 cause)
{
	st->cause = cause;
	return 1;
}

/* Code without a table: trust the frame pointer if it looks like one. */
static __always_inline int step_fp(struct mw_unwind_state *st, u32 slot, u32 cause)
{
	u64 fp = st->fp, pair[2];

	/* Zero is the ABI's mark of the outermost frame, but also any number that code without a
	 * frame pointer keeps in the register: not to be taken for the root. */
	if (fp & 7 || fp < st->sp || fp - st->sp > JUMP_LIMIT)
		return stop(st, cause);
	if (bpf_probe_read_user(pair, sizeof(pair), (void *)fp))
		return stop(st, cause);
	return leave(st, slot, pair[1], fp + 8, fp + 16, pair[0]);
}

__noinline int unwind_signal(u32 slot)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	u64 gregs, fp, rsp_rip[2];

	if (!st)
		return 1;
	gregs = st->sp + UC_GREGS;
	if (bpf_probe_read_user(&fp, 8, (void *)(gregs + 8 * GREG_RBP)) ||
	    bpf_probe_read_user(rsp_rip, 16, (void *)(gregs + 8 * GREG_RSP)))
		return stop(st, MW_STACK_READ_FAULT);
	if (leave(st, slot, rsp_rip[1], 0, rsp_rip[0], fp))
		return 1;
	st->exact = 1;
	st->gregs = gregs;
	return 0;
}

/* A value described by a side entry, 0 if it cannot be had. */
__noinline u64 unwind_value(u32 slot, u32 from, u32 reg, s64 off, u64 cfa)
{
	u64 v = from == MW_FROM_CFA ? cfa : unwind_reg(slot, reg);

	if (!v)
		return 0;
	v += off;
	if (from != MW_FROM_REG && bpf_probe_read_user(&v, 8, (void *)v))
		return 0;
	return v;
}

__noinline int unwind_side(u32 slot, u32 i)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	struct mw_unwind_side *side;
	u64 w[2], cfa, ra, fp;
	void *table;

	if (!st)
		return 1;
	table = bpf_map_lookup_elem(&unwind_tables, &st->file.slot);
	if (!table)
		return stop(st, MW_STACK_NO_TABLE);
	w[0] = word(table, st->file.sides + 2 * i);
	w[1] = word(table, st->file.sides + 2 * i + 1);
	side = (void *)w;
	if (!side->cfa_from || !side->ra_from)
		return stop(st, MW_STACK_UNSUPPORTED);
	cfa = unwind_value(slot, side->cfa_from, side->cfa_reg, side->cfa_off, 0);
	if (!cfa)
		return stop(st, MW_STACK_UNSUPPORTED);
	if (side->cfa_from == MW_FROM_DEREF_REG)
		cfa += side->cfa_add;
	ra = unwind_value(slot, side->ra_from, side->ra_reg, side->ra_off * 8L, cfa);
	if (!ra)
		return stop(st, MW_STACK_UNSUPPORTED);
	fp = st->fp;
	if (side->fp_from)
		fp = unwind_value(slot, side->fp_from, side->fp_reg, side->fp_off, cfa);
	return leave(st, slot, ra, cfa + side->ra_off * 8L, cfa, fp);
}

/* The common rows: return address right below the CFA. */
static __always_inline int step_cfa(struct mw_unwind_state *st, u32 slot, u64 cfa, s32 fp_rule)
{
	u64 ra, fp = st->fp;

	/* the lower word first: the window then holds both */
	if (fp_rule) {
		u64 at = fp_rule == MW_UNWIND_FP_DEREF ? fp : cfa + 8 * (s64)fp_rule;

		if (!read_stack(st, at, &fp))
			return stop(st, MW_STACK_READ_FAULT);
	}
	if (!read_stack(st, cfa - 8, &ra))
		return stop(st, MW_STACK_READ_FAULT);
	return leave(st, slot, ra, cfa - 8, cfa, fp);
}

static __always_inline int step_row(struct mw_unwind_state *st, u32 slot, u64 row, u64 off)
{
	u16 cfa = row >> 32;
	s32 fp_rule = (s16)(row >> 48);
	u64 v, arg = MW_UNWIND_ARG(cfa);

	switch (MW_UNWIND_TYPE(cfa)) {
	case MW_UNWIND_SP: v = st->sp + 8 * arg; break;
	case MW_UNWIND_FP: v = st->fp + 8 * arg; break;
	case MW_UNWIND_DEREF_FP:
		if (bpf_probe_read_user(&v, 8, (void *)(st->fp + 8 * (((s64)arg ^ 4096) - 4096))))
			return stop(st, MW_STACK_READ_FAULT);
		break;
	case MW_UNWIND_PLT: v = st->sp + 8 + ((off & 15) >= arg ? 8 : 0); break;
	case MW_UNWIND_SIDE: return unwind_side(slot, (u32)arg << 16 | (u16)(row >> 48));
	case MW_UNWIND_SPECIAL:
		if (arg == MW_UNWIND_SIGNAL)
			return unwind_signal(slot);
		return stop(st, arg == MW_UNWIND_STOP ? MW_STACK_OK : MW_STACK_UNSUPPORTED);
	default: return step_fp(st, slot, MW_STACK_NO_ROW);
	}
	return step_cfa(st, slot, v, fp_rule);
}

/* One frame of the walk in slot. 0: there may be another; 1: done. A global function with an
 * integer argument: the verifier looks at it once, not once a frame. */
__noinline int unwind_step(u32 slot)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);
	u64 pc, off;
	u32 cause, n;

	if (!st || !s)
		return 1;
	n = st->n;
	if (n >= MW_MAX_FRAMES)
		return stop(st, MW_STACK_TRUNCATED);
	s->pc[n] = st->pc + (st->exact && n); /* see mw_ev_stack */
	st->n = n + 1;
	pc = st->pc - !st->exact;
	if (pc - st->start >= st->end - st->start) {
		cause = unwind_enter(slot, pc);
		if (cause == MW_STACK_NO_MAPPING && n)
			st->n = n; /* no code, so no frame */
		if (cause)
			return stop(st, cause);
	}
	if (st->kind != KIND_TABLE)
		return step_fp(st, slot, st->kind == KIND_ANON ? MW_STACK_JIT : MW_STACK_NO_ROW);
	off = pc + st->bias;
	/* In a PLT entry it is the exact pc that counts, and such a frame is always exact. */
	return step_row(st, slot, find_row(st, slot, off), off);
}

static __always_inline void begin(struct mw_unwind_state *st, struct mw_scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct xol_area *xol;

	st->start = st->end = st->gregs = st->trampoline = st->ret_inst = 0;
	st->n = 0;
	st->cause = MW_STACK_FAULT;
	st->exact = !(s->ev.leaf_ret & MW_LEAF_RET);
	st->epoch = s->ev.epoch;
	st->pc = PT_REGS_IP(regs);
	st->sp = PT_REGS_SP(regs);
	st->fp = PT_REGS_FP(regs);
	st->win_base = -1ULL << 12;
	if (task->mm) {
		xol = task->mm->uprobes_state.xol_area;
		if (xol)
			st->trampoline = xol->vaddr;
	}
	if (st->trampoline && task->utask)
		st->ret_inst = (u64)task->utask->return_instances;
}

/*
 * Walks the current task's user stack into the scratch slot's frames; ev.leaf_ret, ev.hdr.target
 * and ev.epoch are set by the caller. Returns the number of frames and leaves how the
 * walk ended in ev.hdr.kind.
 */
__noinline u32 unwind_stack(u32 slot)
{
	struct mw_unwind_state *st;
	struct mw_scratch *s;

	if (!unwind_on)
		return 0;
	st = bpf_map_lookup_elem(&unwind_states, &slot);
	s = bpf_map_lookup_elem(&stack_scratch, &slot);
	if (!st || !s)
		return 0;
	begin(st, s);
	for (int i = 0; i <= MW_MAX_FRAMES; i++) {
		if (unwind_step(slot))
			break;
	}
	s->ev.hdr.kind = st->cause;
	return st->n;
}

/* Executable mappings of a process, with the walker's own expressions for the file's key. */
__u32 unwind_iter_tgid; /* 0: the iterator was given its process */

SEC("?iter/task_vma")
int mw_unwind_vmas(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	struct mw_unwind_vma out = {};
	struct proc_vmas *procs;
	u32 anon;

	if (!task || !vma || (unwind_iter_tgid && task->tgid != (int)unwind_iter_tgid) ||
	    !(vma->vm_flags & VM_EXEC))
		return 0;
	key_of_vma(vma, &out.key, &anon);
	if (anon)
		return 0;
	out.start = vma->vm_start;
	out.end = vma->vm_end;
	out.off = vma->vm_file ? vma->vm_pgoff << unwind_page_shift : 0;
	out.vdso = !vma->vm_file;
	out.pid = task->tgid;
	procs = bpf_map_lookup_elem(&unwind_procs, &out.pid);
	if (procs && procs->n < MW_UNWIND_PROC_VMAS) {
		struct found *f = &procs->f[procs->n & (MW_UNWIND_PROC_VMAS - 1)];

		f->start = out.start;
		f->end = out.end;
		f->off = out.off;
		f->key = out.key;
		f->exec = 1;
		f->anon = 0;
		barrier();
		procs->n++;
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
