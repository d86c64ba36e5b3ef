// SPDX-License-Identifier: GPL-2.0-only
/* unwind.bpf.c - see unwind.h. */
#include "unwind.h"

const volatile __u32 unwind_on = 0; /* set by userspace where the kernel has what it takes */
const volatile __u32 unwind_page_shift = 12; /* of the kernel: what vm_pgoff counts */
__u32 unwind_tick = 1; /* advanced by userspace; stamps files that are in use */

#define RET_INSTANCES 64 /* nested return probes looked through per frame */
#define VM_EXEC 4
#define FIND_ATTEMPTS 16 /* a writer holds the mapping lock for moments only */

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

struct mw_unwind_states_map unwind_states SEC(".maps");

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

/*
 * Mappings seen, by page of code, for moments when the mapping lock cannot be had: a writer holds
 * it, or interrupts are off and the kernel allows a single look-up (page faults).
 */
struct cached_vma {
	u64 tag; /* process, epoch and page; 0 while being written */
	struct unwind_found f;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_UNWIND_VMA_CACHE);
	__type(key, u32);
	__type(value, struct cached_vma);
} unwind_vmas SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* an eviction costs a look-up that may fail */
	__uint(max_entries, 512);
	__type(key, u32);
	__type(value, struct mw_unwind_proc);
} unwind_procs SEC(".maps");

/* Text that a program moved to anonymous memory, by process and start: whose table holds there.
 * Userspace finds it; an eviction costs a stack that follows frame pointers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct mw_unwind_moved_key);
	__type(value, struct mw_unwind_moved);
} unwind_moved SEC(".maps");

/* Processes with a HotSpot in them: an eviction costs stacks that follow frame pointers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MW_UNWIND_JVMS);
	__type(key, u32);
	__type(value, struct mw_jvm);
} unwind_jvms SEC(".maps");

/* False: generated code. */
static __always_inline bool find_moved(struct unwind_found *f)
{
	struct mw_unwind_moved_key key = {.start = f->start,
					  .pid = bpf_get_current_pid_tgid() >> 32};
	struct mw_unwind_moved *m = bpf_map_lookup_elem(&unwind_moved, &key);

	if (!m || m->end != f->end)
		return false;
	f->key = m->key;
	f->off = m->off;
	return true;
}

/* Which of a process's mappings holds pc, counted from 1; 0: none is known. */
__noinline u32 find_in_process(u64 pc)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct mw_unwind_proc *p = bpf_map_lookup_elem(&unwind_procs, &tgid);

	if (!p)
		return 0;
	for (u32 i = 0; i < MW_UNWIND_PROC_VMAS; i++) {
		if (i >= p->n)
			break;
		if (pc - p->vma[i].start < p->vma[i].end - p->vma[i].start)
			return i + 1;
	}
	return 0;
}

static __always_inline bool found_in_process(u64 pc, struct unwind_found *f)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct mw_unwind_proc *p = bpf_map_lookup_elem(&unwind_procs, &tgid);
	u32 i = find_in_process(pc);
	struct mw_unwind_vma *v;

	if (!p || !i)
		return false;
	v = &p->vma[(i - 1) & (MW_UNWIND_PROC_VMAS - 1)];
	f->start = v->start;
	f->end = v->end;
	f->off = v->off;
	f->key = v->key;
	f->exec = 1;
	f->anon = 0;
	return true;
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

static long vma_found(struct task_struct *task, struct vm_area_struct *vma, struct unwind_found *f)
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

/* The kernel's look-up, into the state. A global function, because the verifier follows each access
 * of the callback through the kernel's types, and would for every attempt. */
__noinline int unwind_look_up(u32 slot, u64 pc)
{
	struct mw_unwind_state *state = bpf_map_lookup_elem(&unwind_states, &slot);
	struct unwind_found f = {};
	int err;

	if (!state)
		return -MW_EBUSY;
	err = bpf_find_vma(bpf_get_current_task_btf(), pc, vma_found, &f, 0);
	state->found = f;
	return err;
}

/* Mapping of pc into *f; 0 or the cause. */
static __always_inline u32 find_mapping(u32 slot, struct mw_unwind_state *state, u64 pc)
{
	struct unwind_found *f = &state->found;
	u32 epoch = state->epoch;
	u64 tag = vma_tag(pc, epoch);
	struct cached_vma *c = vma_cached(tag);
	long err = -MW_EBUSY;

	if (!c)
		return MW_STACK_NO_MAPPING;
	for (int i = 0; i < FIND_ATTEMPTS; i++) {
		err = unwind_look_up(slot, pc);
		if (err != -MW_EBUSY || c->tag == tag)
			break;
	}
	if (err == -MW_EBUSY) {
		if (c->tag == tag) {
			*f = c->f;
			barrier();
		}
		if (c->tag != tag && !found_in_process(pc, f))
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

/* Built in the ring: on the stack of eight calls there is no room for it before Linux 6.10. */
static __always_inline void want_file(struct mw_scratch *s, const struct mw_unwind_key *key, u64 pc)
{
	u32 tgid = s->ev.pid;
	struct mw_ev_file *ev;

	if (bpf_map_update_elem(&unwind_wanted, key, &tgid, BPF_NOEXIST))
		return;
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lost(s->ev.hdr.target, MW_LOSS_CODE_RING);
		bpf_map_delete_elem(&unwind_wanted, key);
		return;
	}
	__builtin_memset(ev, 0, sizeof(*ev));
	ev->hdr.type = MW_EV_UNKNOWN_FILE;
	ev->hdr.target = s->ev.hdr.target;
	ev->hdr.tid = s->ev.hdr.tid;
	ev->hdr.time_ns = bpf_ktime_get_ns();
	ev->dev = key->dev;
	ev->ino = key->ino;
	ev->gen = key->gen;
	ev->pc = pc;
	ev->pid = tgid;
	bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
}

/*
 * The rare or branching parts of a step are global functions with integer arguments: the verifier
 * looks at each once, not on every path that leads there.
 */

/* Is pc generated code whose frames are known, whatever its mapping? A virtual machine changes its
 * mappings often, and new code is on pages that were not seen before. */
__noinline int in_jvm(u64 pc)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct mw_jvm *j = bpf_map_lookup_elem(&unwind_jvms, &tgid);

	return j && jvm_holds(j, pc);
}

/* Fills the state's mapping for pc. 0 or the cause. */
__noinline int walk_enter(u32 slot, u64 pc)
{
	struct mw_unwind_state *state = bpf_map_lookup_elem(&unwind_states, &slot);
	struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);
	struct mw_unwind_file *file;
	struct unwind_found *f;
	struct mw_walk *st;
	u32 cause;

	if (!state || !s)
		return MW_STACK_FAULT;
	st = &state->w;
	st->kind = KIND_NONE;
	st->start = st->end = 0;
	cause = find_mapping(slot, state, pc);
	if (cause == MW_STACK_VMA_BUSY && in_jvm(pc)) {
		st->kind = KIND_ANON;
		return 0;
	}
	if (cause)
		return cause;
	f = &state->found;
	st->start = f->start;
	st->end = f->end;
	st->bias = f->off - f->start;
	if (f->anon && find_moved(f))
		st->bias = f->off - f->start;
	else if (f->anon) {
		st->kind = KIND_ANON;
		return 0;
	}
	file = bpf_map_lookup_elem(&unwind_files, &f->key);
	if (!file) {
		want_file(s, &f->key, pc);
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
	struct mw_unwind_state *state = bpf_map_lookup_elem(&unwind_states, &slot);
	struct mw_walk *st;
	u32 page, from, to, before, e, n, base;
	struct elem *elem;
	void *table;
	u64 w;

	if (!state)
		return 0;
	st = &state->w;
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

static __always_inline u64 walk_row(struct mw_walk *st, u32 slot, u64 off)
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
static __always_inline bool walk_stack(struct mw_walk *w, u64 at, u64 *ret)
{
	struct mw_unwind_state *st = (void *)w;
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

/* A return address that a return probe replaced, by the stack slot it was in. */
__noinline u64 walk_replaced(u32 slot, u64 at)
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

/* What unwind_step.h asks for. */
#define WALK_PART __noinline
typedef u32 walk_t;

static __always_inline struct mw_walk *walk_state(u32 slot)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);

	return st ? &st->w : NULL;
}

static __always_inline int walk_read(struct mw_walk *st, void *dst, u32 n, u64 at)
{
	return bpf_probe_read_user(dst, n, (void *)at);
}

#define JVM_READ(arg, dst, n, at) bpf_probe_read_user(dst, n, (void *)(at))
#include "memwatch/jvm.h" /* again: now the function */

__noinline u32 walk_code_words(u32 slot, u64 pc)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct mw_jvm *j = bpf_map_lookup_elem(&unwind_jvms, &tgid);

	return j ? jvm_frame_words(j, NULL, pc) : 0;
}

static __always_inline int walk_words(struct mw_walk *st, u32 i, u64 *ret)
{
	void *table = bpf_map_lookup_elem(&unwind_tables, &st->file.slot);

	if (!table)
		return -1;
	ret[0] = word(table, i);
	ret[1] = word(table, i + 1);
	return 0;
}

static __always_inline u64 walk_reg(struct mw_walk *st, u32 i)
{
	u64 *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf()), v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), regs + i);
	return v;
}

static __always_inline int walk_frame(u32 slot, u32 n, u64 pc)
{
	struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);

	if (!s || n >= MW_MAX_FRAMES || n >= stack_max_frames)
		return 1;
	s->pc[n] = pc;
	return 0;
}

#include "unwind_step.h" /* again: now the steps themselves */

static __always_inline void begin(struct mw_unwind_state *state, struct mw_scratch *s)
{
	struct mw_walk *st = &state->w;
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct xol_area *xol;

	st->start = st->end = st->gregs = st->trampoline = state->ret_inst = 0;
	st->n = st->guessed = 0;
	st->cause = MW_STACK_FAULT;
	st->exact = !(s->ev.leaf_ret & MW_LEAF_RET);
	state->epoch = s->ev.epoch;
	st->pc = PT_REGS_IP(regs);
	st->sp = PT_REGS_SP(regs);
	st->fp = PT_REGS_FP(regs);
	state->win_base = -1ULL << 12;
	if (task->mm) {
		xol = task->mm->uprobes_state.xol_area;
		if (xol)
			st->trampoline = xol->vaddr;
	}
	if (st->trampoline && task->utask)
		state->ret_inst = (u64)task->utask->return_instances;
}

/* At a stub's site nothing of the stub's is on the stack: the walk begins with its caller, whose
 * address a return probe of another tracer's may have replaced. */
static __always_inline void skip_stub(struct mw_walk *st, u32 slot)
{
	u64 at = st->sp;

	bpf_probe_read_user(&st->pc, sizeof(st->pc), (void *)at);
	st->sp = at + 8;
	if (st->pc && st->pc == st->trampoline)
		st->pc = walk_replaced(slot, at);
}

#define STEPS 64

/* Some steps; not 0 after the last. One loop of MW_MAX_FRAMES would cost the verifier, and so the
 * start of every run, thirty times the time of two loops that it looks at one by one. */
__noinline int unwind_steps(u32 slot)
{
	for (int i = 0; i < STEPS; i++) {
		if (unwind_step(slot))
			return 1;
	}
	return 0;
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
	if (s->ev.leaf_ret & MW_LEAF_STUB)
		skip_stub(&st->w, slot);
	for (int i = 0; i <= MW_MAX_FRAMES / STEPS; i++) {
		if (unwind_steps(slot))
			break;
	}
	s->ev.hdr.kind = st->w.cause;
	return st->w.n;
}

/* Executable mappings of a process, with the walker's own expressions for the file's key; or the
 * one mapping that is asked for. */
__u32 unwind_iter_tgid;	 /* 0: the iterator was given its process */
__u64 unwind_iter_start; /* 0: all that are executable */

SEC("?iter/task_vma")
int mw_unwind_vmas(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	struct mw_unwind_vma out = {};
	u32 anon;

	if (!task || !vma || (unwind_iter_tgid && task->tgid != (int)unwind_iter_tgid))
		return 0;
	if (unwind_iter_start ? vma->vm_start != unwind_iter_start : !(vma->vm_flags & VM_EXEC))
		return 0;
	key_of_vma(vma, &out.key, &anon);
	out.start = vma->vm_start;
	out.end = vma->vm_end;
	out.off = vma->vm_file ? vma->vm_pgoff << unwind_page_shift : 0;
	out.kind = vma->vm_file ? MW_UNWIND_VMA_FILE
		   : anon	? MW_UNWIND_VMA_ANON
				: MW_UNWIND_VMA_VDSO;
	out.pid = task->tgid;
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
