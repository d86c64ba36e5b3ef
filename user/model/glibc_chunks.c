/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk through the chunks of one heap. A chunk's header is the size of the one before (if that
 * is free) and its own size with flags; whether it is in use stands in the next one's header.
 * Chunks in thread caches and fast bins look used; they are told by their contents: freed into a
 * cache, a chunk's second word is the key of the caches, its first a link to the next.
 */
#include "model/glibc_heap_priv.h"

#include <errno.h>
#include <string.h>

#include "core/keyhash.h"
#include "core/util.h"

#define PENDING 32 /* chunks that are undone when the one behind them makes no sense */
#define TRIES 8
#define WHOLE_TRIES 3
#define MAX_GROWTH (1ULL << 32) /* of a heap while it is walked */
#define FASTBIN_MAX 0xb0
#define TAIL_OF_NEXT 8 /* a chunk's user has the first word of the next chunk, too */
#define MAX_KEYS 64    /* that occur in one segment */
#define TAIL 64	       /* fence posts at the end of a heap take at most this */
#define SMALL_WINDOW 8192

struct chunk {
	uint64_t addr, size, word[2]; /* of the user's bytes */
	bool used;
};

struct run {
	struct glibc_walker *w;
	const struct glibc_segment *s;
	struct glibc_sums *sums;
	struct chunk pending[PENDING], prev;
	size_t npending, oldest;
	bool has_prev;
	unsigned tries;
	uint64_t top, limit;
	struct glibc_key keys[MAX_KEYS]; /* sums of this segment; few keys really occur */
	size_t nkeys;
};

size_t glibc_walker__extent(const struct glibc_walker *w, uint64_t addr)
{
	size_t lo = 0, hi = w->in->npresent;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->in->present[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int glibc_walker__read(struct glibc_walker *w, uint64_t addr, void *buf, size_t len)
{
	return heap_memory__read(w->in, addr, buf, len);
}

void glibc_walker__seek(struct glibc_walker *w, uint64_t addr)
{
	size_t lo = 0, hi = w->in->nblocks;

	w->at_present = glibc_walker__extent(w, addr);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->in->block[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	w->at_block = lo;
}

uint64_t glibc_walker__resident(struct glibc_walker *w, uint64_t start, uint64_t end)
{
	const struct heap_extent *p = w->in->present;
	uint64_t sum = 0;

	while (w->at_present < w->in->npresent && p[w->at_present].end <= start)
		w->at_present++;
	for (size_t i = w->at_present; i < w->in->npresent && p[i].start < end; i++)
		sum += min_of(p[i].end, end) - max_of(p[i].start, start);
	return sum;
}

bool glibc_walker__live(struct glibc_walker *w, uint64_t addr, uint64_t size, uint64_t rss,
			struct glibc_sums *sums)
{
	const struct ledger_block *b = w->in->block;
	uint64_t user = addr + 16, end = addr + size;
	bool any = false;

	while (w->at_block < w->in->nblocks && b[w->at_block].addr < user)
		w->at_block++;
	for (; w->at_block < w->in->nblocks && b[w->at_block].addr < end; w->at_block++) {
		uint64_t at = b[w->at_block].addr, bytes = b[w->at_block].size, resident;
		double weight = bytes ? b[w->at_block].bytes / bytes : 1;

		if (any) /* one chunk is one block: what else is said to lie here is gone */
			continue;
		any = true;
		if (w->in->in_use && at == user)
			w->in->in_use(w->in->arg, &b[w->at_block], end - at + TAIL_OF_NEXT);
		if (!bytes)
			bytes = b[w->at_block].bytes;
		bytes = min_of(bytes, end - at + TAIL_OF_NEXT);
		resident = min_of(glibc_walker__resident(w, at, at + bytes), rss);
		sums->live_virt += bytes * weight;
		sums->live_rss += resident * weight;
		sums->live_own_virt += (size - min_of(bytes, size)) * weight;
		sums->live_own_rss += (rss - resident) * weight;
	}
	return any;
}

struct glibc_key *glibc_walker__key(struct glibc_walker *w, uint64_t value)
{
	size_t i = keyhash__word(value) & (w->key_slots - 1);

	while (w->key[i].value && w->key[i].value != value)
		i = (i + 1) & (w->key_slots - 1);
	return &w->key[i];
}

/* Puts the window where addr is, as far as memory is resident. */
static int look_at(struct glibc_walker *w, uint64_t addr)
{
	uint64_t start = addr & ~(GLIBC_PAGE - 1), end = heap_memory__present_until(w->in, addr);
	int err;

	if (!end)
		return -ENODATA;
	/* where chunks follow each other much is read at once, where they are far apart little */
	if (w->window_len && addr - w->window_addr <= w->window_len + GLIBC_PAGE)
		w->window_want = min_of(w->window_want * 2, HEAP_MEMORY_WINDOW);
	else
		w->window_want = max_of(w->window_want / 4, (size_t)SMALL_WINDOW);
	w->window_len = 0;
	end = min_of(end, start + w->window_want);
	err = w->in->read(w->in->arg, start, w->window, end - start);
	if (err)
		return err;
	w->window_addr = start;
	w->window_len = end - start;
	return 0;
}

static bool in_window(const struct glibc_walker *w, uint64_t addr, size_t len)
{
	return addr >= w->window_addr && addr - w->window_addr <= w->window_len &&
	       len <= w->window_len - (addr - w->window_addr);
}

/* Size of the one before, own size and flags, and the first two words of the user (0 where they
 * are not resident). */
static int read_header(struct glibc_walker *w, uint64_t addr, uint64_t head[4])
{
	int err = 0;

	if (!in_window(w, addr, 32))
		err = look_at(w, addr);
	if (err)
		return err;
	if (in_window(w, addr, 32)) {
		memcpy(head, w->window + (addr - w->window_addr), 32);
		return 0;
	}
	memset(head, 0, 32);
	if (!in_window(w, addr, 16)) /* chunks are aligned to 16: cannot be */
		return -EBADMSG;
	memcpy(head, w->window + (addr - w->window_addr), 16);
	if (heap_memory__present_until(w->in, addr + 16))
		return w->in->read(w->in->arg, addr + 16, head + 2, 16);
	return 0;
}

/* Does the first word of the user link to another chunk of the heap, or end a list? *ret: what it
 * links to, 0 for the end. */
static bool links(const struct glibc_walker *w, const struct chunk *c, uint64_t *ret)
{
	uint64_t to = c->word[0];

	if (w->link == LINK_SAFE)
		to ^= (c->addr + 16) >> 12;
	*ret = to;
	return !to || (!(to & 15) && to >= w->lowest && to < w->highest);
}

static bool is_fastbin(struct glibc_walker *w, const struct chunk *c)
{
	uint64_t to, head[2];

	if (c->size > FASTBIN_MAX || w->link == LINK_UNKNOWN || !links(w, c, &to))
		return false;
	if (!to) /* zeros in a used chunk would look the same */
		return w->link == LINK_SAFE;
	if (in_window(w, to, 16))
		memcpy(head, w->window + (to - w->window_addr), 16);
	else if (!w->lookups)
		return w->link == LINK_SAFE;
	else if (w->lookups--, heap_memory__read_kept(w->in, to, head, 16))
		return false;
	return (head[1] & ~(uint64_t)CHUNK_FLAGS) == c->size;
}

/* The sums of a key that chunk c carries, NULL if it carries none. */
static struct ledger_bytes *cached_as(struct run *r, const struct chunk *c)
{
	struct glibc_walker *w = r->w;
	uint64_t to;

	if (!c->word[1] || !w->nkeys || !glibc_walker__key(w, c->word[1])->value)
		return NULL;
	if (w->link == LINK_SAFE && !links(w, c, &to))
		return NULL;
	for (size_t i = 0; i < r->nkeys; i++) {
		if (r->keys[i].value == c->word[1])
			return &r->keys[i].sum;
	}
	if (r->nkeys == ARRAY_SIZE(r->keys))
		return NULL;
	r->keys[r->nkeys] = (struct glibc_key){.value = c->word[1]};
	return &r->keys[r->nkeys++].sum;
}

/* The sums of a chunk that is freed and kept, though marked as in use; NULL: it is in use. */
static struct ledger_bytes *kept_as(struct run *r, const struct chunk *c)
{
	struct ledger_bytes *cached = cached_as(r, c);

	return cached ? cached : is_fastbin(r->w, c) ? &r->sums->fastbin : NULL;
}

static void commit(struct run *r, const struct chunk *c)
{
	uint64_t rss = glibc_walker__resident(r->w, c->addr, c->addr + c->size);
	struct ledger_bytes *to = &r->sums->used, *kept;
	bool trusted = !r->w->in->in_use;

	r->sums->chunks++;
	if (!c->used)
		to = &r->sums->binned;
	else if (trusted && glibc_walker__live(r->w, c->addr, c->size, rss, r->sums))
		;
	else if ((kept = kept_as(r, c)))
		to = kept;
	else if (!trusted)
		glibc_walker__live(r->w, c->addr, c->size, rss, r->sums);
	ledger_bytes__add(to, c->size, rss);
}

static void push(struct run *r, const struct chunk *c)
{
	if (r->npending == PENDING) {
		commit(r, &r->pending[r->oldest]);
		r->oldest = (r->oldest + 1) % PENDING;
		r->npending--;
		r->tries = 0;
	}
	r->pending[(r->oldest + r->npending++) % PENDING] = *c;
}

static void commit_all(struct run *r)
{
	for (; r->npending; r->npending--) {
		commit(r, &r->pending[r->oldest]);
		r->oldest = (r->oldest + 1) % PENDING;
	}
}

/* Where the segment ends at most by now: it grows while it is walked, and before. */
static uint64_t most(const struct run *r)
{
	const struct glibc_arena *a = &r->w->arena[r->s->arena];
	uint64_t taken, end = (r->s->base & ~(uint64_t)(GLIBC_HEAP_MAX - 1)) + GLIBC_HEAP_MAX;

	if (a->main) {
		if (glibc_walker__read(r->w, a->bins + OFF_SYSTEM_MEM, &taken, sizeof(taken)) ||
		    taken - a->system_mem > MAX_GROWTH)
			return r->s->limit;
		end = r->s->base + taken + GLIBC_PAGE;
	}
	return max_of(r->s->limit, end);
}

/* Reads where the top of the arena is now. */
static int read_top(struct run *r)
{
	uint64_t head[2], bins = r->w->arena[r->s->arena].bins, size, limit = r->s->limit;
	int err = glibc_walker__read(r->w, bins - 16, &r->top, sizeof(r->top));

	if (err)
		return err;
	if (r->top >= limit)
		limit = most(r);
	if (r->top < r->s->first || r->top >= limit || r->top & 15)
		return -EBADMSG;
	err = glibc_walker__read(r->w, r->top, head, sizeof(head));
	size = head[1] & ~(uint64_t)CHUNK_FLAGS;
	if (err)
		return err;
	if (size > limit - r->top)
		limit = most(r);
	if (size < 16 || size > limit - r->top)
		return -EBADMSG;
	r->limit = r->top + size;
	return 0;
}

/* The state of the chunk before `head` is known now. */
static int close_prev(struct run *r, const uint64_t head[2])
{
	if (!r->has_prev)
		return 0;
	r->prev.used = head[1] & CHUNK_PREV_INUSE;
	if (!r->prev.used && head[0] != r->prev.size)
		return -EBADMSG;
	push(r, &r->prev);
	r->has_prev = false;
	return 0;
}

/* One chunk on. 1: the end was reached. */
static int step(struct run *r, uint64_t *p)
{
	uint64_t head[4], size;
	int err;

	if (r->s->has_top && *p >= r->top) {
		err = read_top(r);
		if (err)
			return err;
		if (*p > r->top)
			return -EBADMSG;
	}
	if (!r->s->has_top && *p >= r->limit)
		return *p == r->limit ? 1 : -EBADMSG; /* another heap claims its beginning */
	err = read_header(r->w, *p, head);
	if (!err)
		err = close_prev(r, head);
	if (err)
		return err;
	if (r->s->has_top && *p == r->top)
		return 1;
	size = head[1] & ~(uint64_t)CHUNK_FLAGS;
	if (!r->s->has_top && size <= 16 && r->limit - *p <= TAIL)
		return 1;
	if (size < CHUNK_MIN || size & 15 || head[1] & CHUNK_MMAPPED || size > r->limit - *p)
		return -EBADMSG;
	r->prev = (struct chunk){.addr = *p, .size = size, .word = {head[2], head[3]}};
	r->has_prev = true;
	*p += size;
	return 0;
}

/* Some chunks back, to read them again. */
static bool back_up(struct run *r, uint64_t *p)
{
	if (++r->tries > TRIES)
		return false;
	r->w->out->retries++;
	if (r->npending)
		*p = r->pending[r->oldest].addr;
	else if (r->has_prev)
		*p = r->prev.addr;
	r->npending = 0;
	r->has_prev = false;
	r->w->window_len = 0;
	return true;
}

static int walk_once(struct run *r)
{
	uint64_t p = r->s->first;
	int err = 0;

	r->limit = r->s->limit;
	r->w->window_len = 0;
	r->w->window_want = 1 << 16;
	glibc_walker__seek(r->w, p);
	if (r->s->has_top)
		err = read_top(r);
	while (!err) {
		err = step(r, &p);
		if ((err == -EBADMSG || err == -ENODATA) && back_up(r, &p))
			err = 0;
	}
	if (err < 0)
		return err;
	commit_all(r);
	r->sums->end = r->limit;
	if (r->s->has_top)
		ledger_bytes__add(&r->sums->top, r->limit - r->top,
				  glibc_walker__resident(r->w, r->top, r->limit));
	return 0;
}

int glibc_walker__segment(struct glibc_walker *w, const struct glibc_segment *s,
			  struct glibc_sums *ret)
{
	int err = -EBADMSG;

	for (int try = 0; try < WHOLE_TRIES && (err == -EBADMSG || err == -ENODATA); try++) {
		struct run r = {.w = w, .s = s, .sums = ret};

		memset(ret, 0, sizeof(*ret));
		err = walk_once(&r);
		for (size_t i = 0; !err && i < r.nkeys; i++) {
			const struct ledger_bytes *b = &r.keys[i].sum;

			ledger_bytes__add(&glibc_walker__key(w, r.keys[i].value)->sum, b->virt,
					  b->rss);
			ledger_bytes__add(&w->keyed, b->virt, b->rss);
		}
	}
	return err;
}
