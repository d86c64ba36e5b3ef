// SPDX-License-Identifier: GPL-2.0-only
/*
 * unwind_copy.bpf.c - copies of stacks, for walks that could not go on because a file's table was
 * not there yet: registers and what changed of the stack since the last copy, so that userspace
 * finishes the walk once it has the table (user/probe/stack_walk.h). Within a budget.
 */
#include "unwind.h"

#define MW_COPY_SLOTS 8
#define MW_COPY_ROOM (MW_MAX_FRAMES * 8 + MW_COPY_CHUNKS * MW_COPY_CHUNK)

struct copy_buf {
	u32 busy, tid;
	u64 limit; /* where the stack's mapping ends */
	u64 at;	   /* bytes of data so far */
	u64 hash[MW_COPY_CHUNKS];
	struct mw_ev_copy ev;
	char data[MW_COPY_ROOM]; /* ev's frames and chunks */
};

/* What the last copies of a thread's stack held, by address: hashes of chunks. Most of a stack does
 * not change between two calls. */
struct sent_stack {
	u64 hash[MW_COPY_CHUNKS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* an eviction costs bytes */
	__uint(max_entries, MW_COPIED_STACKS);
	__type(key, u32);
	__type(value, struct sent_stack);
} unwind_copied SEC(".maps");

static const struct sent_stack no_copy;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_COPY_SLOTS);
	__type(key, u32);
	__type(value, struct copy_buf);
} unwind_copies SEC(".maps");

/* Bytes of copies in a period of about a second; the last row is that of all targets together. */
struct copy_spent {
	u64 period, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_MAX_TARGETS + 1);
	__type(key, u32);
	__type(value, struct copy_spent);
} unwind_spent SEC(".maps");

const volatile __u64 unwind_copy_budget = 64 << 20; /* of a target in a period; of all: twice it */

static __always_inline bool spend(u32 row, u64 limit, u64 bytes)
{
	struct copy_spent *s = bpf_map_lookup_elem(&unwind_spent, &row);
	u64 period = bpf_ktime_get_ns() >> 30;

	if (!s)
		return false;
	if (s->period != period) {
		s->period = period;
		s->bytes = 0;
	}
	return __sync_fetch_and_add(&s->bytes, bytes) + bytes <= limit;
}

/* Copies must not push events out: half of the ring stays free of them. */
static __always_inline bool copy_allowed(u32 target, u64 bytes)
{
	u64 waits = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	return waits + bytes <= bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2 &&
	       spend(target, unwind_copy_budget, bytes) &&
	       spend(MW_MAX_TARGETS, 2 * unwind_copy_budget, bytes);
}

/* A free buffer's number, -1: none. */
static __always_inline int copy_buf_take(void)
{
	for (u32 i = 0; i < MW_COPY_SLOTS; i++) {
		u32 slot = (bpf_get_smp_processor_id() + i) % MW_COPY_SLOTS;
		struct copy_buf *c = bpf_map_lookup_elem(&unwind_copies, &slot);

		if (c && !__sync_val_compare_and_swap(&c->busy, 0, 1))
			return slot;
	}
	return -1;
}

static __always_inline u32 chunk_slot(u64 addr)
{
	return addr / MW_COPY_CHUNK & (MW_COPY_CHUNKS - 1);
}

/* Adds chunk i of the stack to the buffer, if it is not as it was. Not 0: the stack ends. */
__noinline int copy_chunk(u32 buf, u32 i)
{
	struct copy_buf *c = bpf_map_lookup_elem(&unwind_copies, &buf);
	struct sent_stack *before;
	u64 addr, at, h, *words;
	u32 slot;

	if (!c || i >= MW_COPY_CHUNKS)
		return 1;
	addr = c->ev.base + (u64)i * MW_COPY_CHUNK;
	at = c->at;
	if (addr >= c->limit || at > MW_COPY_ROOM - MW_COPY_CHUNK)
		return 1;
	if (bpf_probe_read_user(c->data + at, MW_COPY_CHUNK, (void *)addr))
		return 0; /* never touched: a large array on the stack */
	c->ev.there[i / 64] |= 1ULL << (i & 63);
	words = (void *)(c->data + at);
	h = addr;
	for (int k = 0; k < MW_COPY_CHUNK / 8; k++) {
		h = (h ^ words[k]) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	slot = chunk_slot(addr);
	before = bpf_map_lookup_elem(&unwind_copied, &c->tid);
	if (before && before->hash[slot] == h)
		return 0;
	c->hash[slot] = h;
	c->ev.sent[i / 64] |= 1ULL << (i & 63);
	c->at = at + MW_COPY_CHUNK;
	return 0;
}

/* The stack from the walk's stack pointer to the end of its mapping. */
static __always_inline void copy_stack(struct copy_buf *c, struct mw_unwind_state *st, u32 slot,
				       u32 buf)
{
	u64 base = c->ev.sp & ~(MW_COPY_CHUNK - 1ULL);

	c->ev.base = base;
	for (int i = 0; i < MW_COPY_CHUNKS / 64; i++)
		c->ev.there[i] = c->ev.sent[i] = 0;
	c->limit = base + MW_COPY_CHUNK * MW_COPY_CHUNKS;
	/* While the lock is taken all that can be read counts; what lies above costs bytes. */
	if (!unwind_look_up(slot, c->ev.sp) && st->found.end < c->limit)
		c->limit = st->found.end;
	for (u32 i = 0; i < MW_COPY_CHUNKS; i++) {
		if (copy_chunk(buf, i))
			break;
	}
}

/* The receiver has the chunks now. */
static __always_inline void copy_known(struct copy_buf *c)
{
	struct sent_stack *s = bpf_map_lookup_elem(&unwind_copied, &c->tid);

	if (!s) {
		bpf_map_update_elem(&unwind_copied, &c->tid, &no_copy, BPF_ANY);
		s = bpf_map_lookup_elem(&unwind_copied, &c->tid);
	}
	for (u32 i = 0; s && i < MW_COPY_CHUNKS; i++) {
		u32 slot = chunk_slot(c->ev.base + (u64)i * MW_COPY_CHUNK);

		if (c->ev.sent[i / 64] >> (i & 63) & 1)
			s->hash[slot] = c->hash[slot];
	}
}

static __always_inline void copy_replaced(struct mw_unwind_state *st, struct mw_ev_copy *ev)
{
	struct return_instance *ri = (void *)st->ret_inst;
	u32 n = 0;

	for (; n < MW_COPY_REPLACED && ri; n++) {
		ev->replaced[n].at = BPF_CORE_READ(ri, stack);
		ev->replaced[n].pc = BPF_CORE_READ(ri, orig_ret_vaddr);
		ri = BPF_CORE_READ(ri, next);
	}
	ev->n_replaced = n;
}

static __always_inline void copy_state(struct mw_unwind_state *st, struct mw_scratch *s,
				       struct mw_ev_copy *ev)
{
	ev->st = s->ev;
	ev->st.hdr.type = MW_EV_COPY;
	ev->st.hdr.time_ns = bpf_ktime_get_ns();
	ev->pc = st->w.pc;
	ev->sp = st->w.sp;
	ev->fp = st->w.fp;
	ev->gregs = st->w.gregs;
	ev->trampoline = st->w.trampoline;
	ev->start = st->found.start;
	ev->end = st->found.end;
	ev->off = st->found.off;
	ev->dev = st->found.key.dev;
	ev->ino = st->found.key.ino;
	ev->gen = st->found.key.gen;
	ev->exact = st->w.exact;
	ev->guessed = st->w.guessed;
	copy_replaced(st, ev);
	if (ev->exact && !ev->gregs)
		bpf_probe_read_kernel(ev->regs, sizeof(ev->regs),
				      (void *)bpf_task_pt_regs(bpf_get_current_task_btf()));
}

/* The copy's id: the frames alone do not tell its stack. */
static __always_inline u64 copy_id(u32 slot, u64 time_ns)
{
	u64 tid = (u32)bpf_get_current_pid_tgid();

	return (stack_hash(slot) ^ (time_ns * 0xff51afd7ed558ccdULL) ^ tid << 32) | MW_STACK_COPY;
}

__noinline u64 unwind_copy(u32 slot)
{
	struct mw_unwind_state *st = bpf_map_lookup_elem(&unwind_states, &slot);
	struct mw_scratch *s = bpf_map_lookup_elem(&stack_scratch, &slot);
	struct copy_buf *c;
	u64 id = 0, size;
	u32 frames, buf;
	int taken;

	if (!unwind_on || !st || !s || s->ev.hdr.target >= MW_MAX_TARGETS)
		return 0;
	frames = s->ev.n;
	if (!frames || frames > MW_MAX_FRAMES)
		return 0;
	taken = copy_buf_take();
	if (taken < 0)
		return 0;
	buf = taken;
	c = bpf_map_lookup_elem(&unwind_copies, &buf);
	if (!c)
		return 0;
	c->tid = s->ev.hdr.tid;
	copy_state(st, s, &c->ev);
	/* Linux 6.1 forgets what is known of a value that was put on the stack in between */
	size = frames * 8;
	barrier_var(size);
	if (size <= MW_MAX_FRAMES * 8)
		bpf_probe_read_kernel(c->data, size, s->pc);
	c->at = size;
	copy_stack(c, st, slot, buf);
	c->ev.st.id = copy_id(slot, c->ev.st.hdr.time_ns);
	size = sizeof(c->ev) + c->at;
	barrier_var(size);
	if (!copy_allowed(s->ev.hdr.target, size)) {
		s->ev.hdr.kind = MW_STACK_OVER_BUDGET;
	} else if (size <= sizeof(c->ev) + MW_COPY_ROOM &&
		   !bpf_ringbuf_output(&events, &c->ev, size, BPF_RB_FORCE_WAKEUP)) {
		id = c->ev.st.id;
		copy_known(c);
	}
	barrier();
	c->busy = 0;
	return id;
}
