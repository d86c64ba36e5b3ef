/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/inuse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/units.h"
#include "core/util.h"
#include "model/heap.h"
#include "snapshot/heapwalk.h"
#include "sys/procmem.h"

#define PAUSE_NS 1000000000ULL
#define PAUSE_TIMES 20	  /* what the last look took */
#define UNKNOWN_SHARE 0.1 /* of the bytes: more is too much to speak of a figure */
#define TRIES 10	  /* a heap that changes while it is walked contradicts itself */
#define MAX_NOTES 200000
#define PAGE 4096ULL
#define AT_ONCE 512 /* blocks that are looked at together */

/* What blocks begin with, many at once. */
struct starts {
	struct procmem *mem;
	void (*fn)(void *arg, uint64_t key, double bytes, const uint8_t *start, size_t n);
	void *arg;
	size_t n;
	struct procmem_piece piece[AT_ONCE];
	uint64_t key[AT_ONCE];
	double bytes[AT_ONCE];
	uint8_t start[AT_ONCE][REUSE_BYTES];
};

static void read_starts(struct starts *s)
{
	procmem__read_pieces(s->mem, s->piece, s->n);
	for (size_t i = 0; i < s->n; i++)
		s->fn(s->arg, s->key[i], s->bytes[i], s->start[i],
		      s->piece[i].is_read ? s->piece[i].len : 0);
	s->n = 0;
}

/* As far as it is in a page that it has for certain: that of the chunk's header before it. */
static void add_start(struct starts *s, uint64_t key, double bytes, uint64_t addr, uint64_t size)
{
	uint64_t len = min_of(min_of(size, PAGE - addr % PAGE), (uint64_t)REUSE_BYTES);

	if (s->n == AT_ONCE)
		read_starts(s);
	s->piece[s->n] = (struct procmem_piece){
		.addr = addr, .to = s->start[s->n], .len = addr % PAGE ? (uint32_t)len : 0};
	s->key[s->n] = key;
	s->bytes[s->n++] = bytes;
}

static void compare(void *arg, uint64_t key, double bytes, const uint8_t *start, size_t n)
{
	struct reuse *r = arg;

	if (!reuse__is_same(r, key, start, n))
		r->changed_bytes += bytes;
}

static void settle(struct observer *o, const struct target *t, struct starts *s,
		   const struct ledger_block *b, size_t n, const enum heapwalk_state *state)
{
	struct reuse *r = observer__heap(o)->targets[t->index].reuse;
	double inuse = 0, unknown = 0;

	r->changed_bytes = 0;
	s->fn = compare;
	s->arg = r;
	for (size_t i = 0; i < n; i++) {
		uint64_t key = MW_LIVE_KEY(t->index, b[i].addr);

		if (state[i] == HEAPWALK_GONE)
			observer__bury(o, t, b[i].addr);
		else if (state[i] == HEAPWALK_UNKNOWN)
			unknown += b[i].bytes;
		else
			inuse += b[i].bytes;
		if (state[i] == HEAPWALK_IN_USE)
			add_start(s, key, b[i].bytes, b[i].addr, b[i].size);
	}
	read_starts(s);
	r->known = unknown <= UNKNOWN_SHARE * (inuse + unknown);
	if (!r->known)
		snprintf(r->why, sizeof(r->why), "most of it lies in no heap that can be walked");
}

static int walk(struct observer *o, const struct target *t)
{
	struct reuse *r = observer__heap(o)->targets[t->index].reuse;
	cleanup_free enum heapwalk_state *state = NULL;
	cleanup_free struct ledger_block *b = NULL;
	cleanup_free struct starts *s = calloc(1, sizeof(*s));
	size_t n;
	int err = heap__blocks(observer__heap(o), t->index, &b, &n);

	if (err)
		return err;
	state = calloc(n + 1, sizeof(*state));
	err = state && s ? procmem__open(t->pid, &s->mem) : -ENOMEM;
	if (err)
		return err;
	err = -EBADMSG;
	for (int i = 0; i < TRIES && err == -EBADMSG; i++)
		err = heapwalk__in_use(t->pid, b, n, state, r->why);
	if (!err)
		settle(o, t, s, b, n, state);
	procmem__close(s->mem);
	return err;
}

void inuse__look(struct observer *o, const struct target *t, bool at_once)
{
	struct reuse *r = observer__heap(o)->targets[t->index].reuse;
	uint64_t start = util__now_ns();
	int err;

	if (!r || t->ended || observer__frozen(o))
		return;
	/* not while the probes are in, and cost */
	if (!at_once &&
	    (observer__window_is_open(o) ||
	     (r->looked_ns && start - r->looked_ns < max_of(PAUSE_NS, PAUSE_TIMES * r->took_ns))))
		return;
	err = walk(o, t);
	/* one that only was too fast leaves it at what the last one said */
	if (err && err != -ESRCH && err != -EBADMSG)
		r->known = false;
	r->looked_ns = util__now_ns();
	r->took_ns = r->looked_ns - start;
}

struct notes {
	struct reuse *reuse;
	struct starts *starts;
	uint32_t target;
	size_t left;
};

static void note(void *arg, const struct livemap_block *b)
{
	struct notes *n = arg;
	uint64_t addr = b->key & ((1ULL << MW_ADDR_BITS) - 1);

	if (b->key >> MW_ADDR_BITS != n->target || !n->left || reuse__noted(n->reuse, b->key))
		return;
	n->left--;
	add_start(n->starts, b->key, 0, addr, b->size);
}

static void keep(void *arg, uint64_t key, double bytes, const uint8_t *start, size_t n)
{
	reuse__note(arg, key, start, n);
}

void inuse__note(struct observer *o)
{
	cleanup_free struct starts *s = calloc(1, sizeof(*s));
	const struct heap *h = observer__heap(o);

	for (const struct target *t = observer__next(o, NULL); s && t; t = observer__next(o, t)) {
		struct notes n = {.reuse = h->targets[t->index].reuse,
				  .starts = s,
				  .target = t->index,
				  .left = MAX_NOTES};

		if (!n.reuse || t->ended || procmem__open(t->pid, &s->mem))
			continue;
		s->fn = keep;
		s->arg = n.reuse;
		livemap__each(&h->live, note, &n);
		read_starts(s);
		procmem__close(s->mem);
	}
}

void inuse__look_all(struct observer *o)
{
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t))
		inuse__look(o, t, true);
}

bool inuse__known(const struct observer *o, const struct target *t)
{
	const struct reuse *r = observer__heap(o)->targets[t->index].reuse;

	return !r || r->known;
}

const char *inuse__text(const struct observer *o, const struct target *t, char buf[INUSE_TEXT])
{
	const struct reuse *r = observer__heap(o)->targets[t->index].reuse;
	uint64_t unseen_ns = observer__unseen_end_ns(t);
	char size[UNITS_LEN];
	int n;

	*buf = 0;
	if (!r)
		return buf;
	n = snprintf(buf, INUSE_TEXT,
		     "in windows, %.1f %% of the time: ", 100 * observer__window_share(o, t));
	if (!r->known)
		n += snprintf(buf + n, INUSE_TEXT - n, "what is in use is not known%s%s",
			      *r->why ? ": " : "", r->why);
	else
		n += snprintf(buf + n, INUSE_TEXT - n,
			      "in use is what a walk of the heap still found; %s of it is no "
			      "longer as it was sampled, and may be others that have its place now",
			      units__size(size, sizeof(size), (int64_t)r->changed_bytes));
	if (unseen_ns)
		snprintf(
			buf + n, INUSE_TEXT - n,
			"; it ended %.1f s after the last window, and what it allocated in them is "
			"in no figure",
			(double)unseen_ns / 1e9);
	return buf;
}

const char *inuse__brief(const struct observer *o, const struct target *t, char buf[INUSE_TEXT])
{
	const struct reuse *r = observer__heap(o)->targets[t->index].reuse;
	char size[UNITS_LEN];
	int n;

	*buf = 0;
	if (!r)
		return buf;
	n = snprintf(buf, INUSE_TEXT, "in windows, %.1f %%", 100 * observer__window_share(o, t));
	if (r->known && r->changed_bytes >= 1)
		snprintf(buf + n, INUSE_TEXT - n, "; %s in use has changed",
			 units__size(size, sizeof(size), (int64_t)r->changed_bytes));
	return buf;
}
