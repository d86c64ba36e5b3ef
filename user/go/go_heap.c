/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_heap.h"

#include "core/util.h"
#include "go/release.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define MAX_BUCKETS ((size_t)4 << 20)
#define MAX_TRIES 25
#define MAX_RECORD_TRIES 100
#define BUCKET_HEADER 48
#define MEM_PROFILE 1 /* bucket.typ */
#define CYCLES 3

struct mem_record { /* memRecord: the published counts and three to come */
	struct {
		uint64_t allocs, frees, alloc_bytes, free_bytes;
	} c[1 + CYCLES];
};

static int get(const struct go_reader *r, uint64_t addr, void *buf, size_t len)
{
	return r->read(r->arg, addr, buf, len);
}

/* Reads a memRecord. False in *ret_whole if bytes and blocks contradict each other. */
static int read_record(const struct go_heap_source *src, const struct go_reader *r, uint64_t addr,
		       uint64_t size, struct mem_record *ret, bool *ret_whole)
{
	uint8_t raw[256];
	int err;

	if (src->rec.size > sizeof(raw))
		return -EINVAL;
	err = get(r, addr, raw, src->rec.size);
	if (err)
		return err;
	*ret_whole = true;
	for (int i = 0; i <= CYCLES; i++) {
		const uint8_t *p = raw + (size_t)i * src->rec.future;

		memcpy(&ret->c[i].allocs, p, 8);
		memcpy(&ret->c[i].frees, p + 8, 8);
		if (src->rec.alloc_bytes == GO_LAYOUT_NONE) {
			ret->c[i].alloc_bytes = ret->c[i].allocs * size;
			ret->c[i].free_bytes = ret->c[i].frees * size;
			continue;
		}
		memcpy(&ret->c[i].alloc_bytes, p + src->rec.alloc_bytes, 8);
		memcpy(&ret->c[i].free_bytes, p + src->rec.free_bytes, 8);
		if (ret->c[i].alloc_bytes != ret->c[i].allocs * size ||
		    ret->c[i].free_bytes != ret->c[i].frees * size)
			*ret_whole = false;
	}
	return 0;
}

/* A record caught between two of its writes is read again until it is whole. */
static int settle_record(const struct go_heap_source *src, uint64_t addr, uint64_t size,
			 struct mem_record *rec, struct go_heap *h)
{
	bool whole = false;
	int err = 0;

	h->torn++;
	for (int i = 0; i < MAX_RECORD_TRIES && !whole; i++) {
		err = read_record(src, &src->fresh, addr, size, rec, &whole);
		if (err)
			return err;
	}
	if (whole)
		return 0;
	h->damaged++;
	return -EBADMSG;
}

/* Which of the four counts belong to the profile. */
enum pick { PICK_ACTIVE, PICK_FLUSHING, PICK_ALL };

static void pick_counts(struct go_bucket *b, const struct mem_record *rec, enum pick pick,
			uint32_t slot)
{
	for (uint32_t i = 0; i <= CYCLES; i++) {
		if (i && pick != PICK_ALL && !(pick == PICK_FLUSHING && i == 1 + slot))
			continue;
		b->allocs += rec->c[i].allocs;
		b->frees += rec->c[i].frees;
		b->alloc_bytes += rec->c[i].alloc_bytes;
		b->free_bytes += rec->c[i].free_bytes;
	}
}

static int read_bucket(const struct go_heap_source *src, const struct go_reader *r, uint64_t addr,
		       enum pick pick, uint32_t slot, struct go_heap *h, uint64_t *ret_next)
{
	uint64_t head[BUCKET_HEADER / 8];
	struct go_bucket b = {0};
	struct mem_record rec;
	bool whole;
	int err = get(r, addr, head, sizeof(head));

	if (err)
		return err;
	b.size = head[4];
	b.nstack = (uint32_t)head[5];
	if (head[2] != MEM_PROFILE || head[5] == 0 || head[5] > src->max_stack || head[1] == addr) {
		h->damaged++;
		return -EBADMSG;
	}
	err = array_reserve(h->stack, h->stack_cap, h->nstack + b.nstack);
	if (!err)
		err = array_reserve(h->buckets, h->buckets_cap, h->nbuckets + 1);
	if (err)
		return err;
	b.stack0 = (uint32_t)h->nstack;
	err = get(r, addr + BUCKET_HEADER, h->stack + h->nstack, (size_t)b.nstack * 8);
	if (err)
		return err;
	addr += BUCKET_HEADER + (uint64_t)b.nstack * 8;
	err = read_record(src, r, addr, b.size, &rec, &whole);
	if (!err && !whole)
		err = settle_record(src, addr, b.size, &rec, h);
	if (err)
		return err;
	pick_counts(&b, &rec, pick, slot);
	h->nstack += b.nstack;
	h->buckets[h->nbuckets++] = b;
	*ret_next = head[1];
	return 0;
}

/* One walk along the list. */
static int walk(const struct go_heap_source *src, enum pick pick, uint32_t slot, struct go_heap *h)
{
	const struct go_reader *r = src->cached.read ? &src->cached : &src->fresh;
	uint64_t at;
	int err;

	h->nbuckets = h->nstack = 0;
	if (src->forget)
		src->forget(src->cached.arg);
	/* The head is read before any bucket: what it leads to was complete by then. */
	err = get(&src->fresh, src->mbuckets, &at, 8);
	while (!err && at) {
		if (h->nbuckets >= MAX_BUCKETS) {
			h->damaged++;
			return -EBADMSG; /* a ring: no program has that many */
		}
		err = read_bucket(src, r, at, pick, slot, h, &at);
	}
	/* A pointer into nothing is damage if the process is still there to have it. */
	if (err == -EFAULT) {
		h->damaged++;
		return -EBADMSG;
	}
	return err;
}

struct gate { /* what must not change during a reading */
	uint32_t cycle;
	uint64_t lock, rate;
};

static int read_gate(const struct go_heap_source *src, struct gate *g)
{
	int err = get(&src->fresh, src->mprof_cycle, &g->cycle, 4);

	g->lock = 0;
	if (!err && src->mem_active_lock)
		err = get(&src->fresh, src->mem_active_lock, &g->lock, 8);
	if (!err && src->mem_profile_rate)
		err = get(&src->fresh, src->mem_profile_rate, &g->rate, 8);
	return err;
}

static bool gate_holds(const struct go_heap_source *src, const struct gate *before)
{
	struct gate now = {0};

	return !read_gate(src, &now) && !now.lock && now.cycle == before->cycle;
}

static bool nothing_yet(const struct go_heap *h)
{
	for (size_t i = 0; i < h->nbuckets; i++) {
		if (h->buckets[i].allocs || h->buckets[i].frees)
			return false;
	}
	return true;
}

/* Buckets are only ever added in front, with nothing published yet: compares the older ones. */
static bool equal_values(const struct go_heap *a, const struct go_heap *b)
{
	size_t extra = b->nbuckets - a->nbuckets;

	if (b->nbuckets < a->nbuckets)
		return false;
	for (size_t i = 0; i < b->nbuckets; i++) {
		const struct go_bucket *y = &b->buckets[i];
		const struct go_bucket *x = i < extra ? NULL : &a->buckets[i - extra];

		if (!x && (y->allocs || y->frees))
			return false;
		if (x && (x->allocs != y->allocs || x->frees != y->frees || x->size != y->size ||
			  x->alloc_bytes != y->alloc_bytes || x->free_bytes != y->free_bytes))
			return false;
	}
	return true;
}

/*
 * One attempt. The published counts are read twice: the runtime can publish (mProf_PostSweep)
 * without moving the cycle, and then only the lock tells, or a difference between two readings.
 */
static int attempt(const struct go_heap_source *src, struct go_heap *h)
{
	struct go_heap again = {0};
	struct gate gate = {0};
	int err = read_gate(src, &gate);

	if (err)
		return err;
	if (gate.lock)
		return -EAGAIN;
	uint32_t slot = (gate.cycle >> 1) % CYCLES;
	enum pick pick = gate.cycle & 1 ? PICK_ACTIVE : PICK_FLUSHING;

	h->cycle = gate.cycle >> 1;
	h->rate = gate.rate;
	err = walk(src, pick, slot, h);
	if (err)
		goto out;
	h->before_gc = nothing_yet(h);
	if (h->before_gc) {
		err = walk(src, PICK_ALL, slot, h);
		goto out;
	}
	if (!gate_holds(src, &gate)) {
		err = -EAGAIN;
		goto out;
	}
	err = walk(src, pick, slot, &again);
	h->torn += again.torn;
	h->damaged += again.damaged;
	if (!err && !equal_values(h, &again))
		err = -EAGAIN;
out:
	go_heap__free(&again);
	if ((!err || err == -EBADMSG) && !gate_holds(src, &gate))
		err = err ? err : -EAGAIN;
	return err;
}

int go_heap__read(const struct go_heap_source *src, struct go_heap *ret)
{
	int err = -EAGAIN;

	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < MAX_TRIES && err == -EAGAIN; i++) {
		if (i) /* publishing 10,000 records takes the runtime about a millisecond */
			nanosleep(&(struct timespec){.tv_nsec = 500000 * min_of(i, 10)}, NULL);
		ret->damaged = 0;
		ret->tries++;
		err = attempt(src, ret);
	}
	return err;
}

void go_heap__free(struct go_heap *h)
{
	free(h->buckets);
	free(h->stack);
	memset(h, 0, sizeof(*h));
}

void go_heap__scale(int64_t count, int64_t size, int64_t rate, int64_t *ret_count,
		    int64_t *ret_size)
{
	*ret_count = 0;
	*ret_size = 0;
	if (count == 0 || size == 0)
		return;
	if (rate <= 1) {
		*ret_count = count;
		*ret_size = size;
		return;
	}
	double avg = (double)size / (double)count;
	double scale = 1 / (1 - exp(-avg / (double)rate));

	*ret_count = (int64_t)((double)count * scale);
	*ret_size = (int64_t)((double)size * scale);
}

static int read_cached(void *arg, uint64_t addr, void *buf, size_t len)
{
	return procmem_cache__read(arg, addr, buf, len);
}

static void forget_cached(void *arg)
{
	procmem_cache__clear(arg);
}

int go_heap__of(const struct go_target *t, struct procmem_cache *cache, struct go_heap *ret)
{
	struct go_heap_source src = {
		.fresh = t->reader,
		.cached = {read_cached, cache},
		.forget = forget_cached,
		.mbuckets = t->sym.mbuckets,
		.mprof_cycle = t->sym.mprof_cycle,
		.mem_active_lock = t->sym.mem_active_lock,
		.mem_profile_rate = t->sym.mem_profile_rate,
		.rec = t->layout->rec,
		.max_stack = go_release__of(t->bin.minor)->profile_frames,
	};
	int err = go_heap__read(&src, ret);

	return err == -EFAULT && !procmem__alive(t->mem) ? -ESRCH : err;
}
