/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/ledgers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "model/heap.h"
#include "snapshot/heapwalk.h"

/* RSS: a walk of more takes so long that events would be lost */
#define WALK_LIVE_BYTES (4ULL << 30)
#define PAUSE_PER_COST 19 /* readings take a twentieth of the time at most */

struct ledgers {
	struct observer *o;
	bool from_start;
	struct ledgers_entry *entry[MW_MAX_TARGETS]; /* by the target's index; NULL: never read */
};

int ledgers__new(struct observer *o, bool from_start, struct ledgers **ret)
{
	struct ledgers *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->o = o;
	l->from_start = from_start;
	*ret = l;
	return 0;
}

void ledgers__free(struct ledgers *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(l->entry); i++)
		free(l->entry[i]);
	free(l);
}

/* The ledger of a target with its live heap, as of now: reads the events that are there, then walks
 * the heap (about 0.2 s per GiB; a large one only once the session is frozen, the ledger says so).
 * from_start: nothing is older than the profile. 0, -ESRCH when it has ended, other -errno. */
static int read_ledger(struct observer *o, const struct target *t, bool from_start,
		       struct ledger *ret)
{
	struct ledger_heap heap = {.known = !observer__opts(o)->faults_only,
				   .from_start = from_start};
	struct ledger_block *block = NULL;
	struct statm mem;
	int err;

	observer__memory(t, &mem);
	if (!observer__frozen(o) && mem.rss > WALK_LIVE_BYTES)
		heap.why_not = "it is large, and walked when the profile ends";
	observer__catch_up(o);
	err = heap__blocks(observer__heap(o), t->index, &block, &heap.nblocks);
	heap.block = block;
	if (!err)
		err = heapwalk__ledger(t->pid, &heap, ret, NULL);
	free(block);
	return err;
}

static struct ledgers_entry *entry_of(const struct ledgers *l, const struct target *t)
{
	struct ledgers_entry *e = l->entry[t->index];

	return e && e->start_ns == t->start_ns ? e : NULL;
}

const struct ledgers_entry *ledgers__refresh(struct ledgers *l, const struct target *t,
					     uint64_t min_ns)
{
	struct ledgers_entry *e = entry_of(l, t);
	uint64_t begin = util__now_ns();
	struct ledger now;

	if (!e) {
		free(l->entry[t->index]); /* of the one that had the index before */
		e = l->entry[t->index] = calloc(1, sizeof(*e));
		if (!e)
			return NULL;
		e->start_ns = t->start_ns;
	}
	if (t->ended || begin < e->refresh_ns)
		return e;
	e->error = read_ledger(l->o, t, l->from_start, &now);
	if (!e->error) {
		e->ledger = now;
		memcpy(e->comm, t->comm, sizeof(e->comm));
		e->has = true;
	} else if (e->error != -ESRCH) {
		log_debug("no ledger of %d: %s", t->pid, strerror(-e->error));
	}
	e->took_ns = util__now_ns() - begin;
	e->pause_ns = max_of(min_ns, e->took_ns * PAUSE_PER_COST);
	e->refresh_ns = begin + e->took_ns + e->pause_ns;
	return e;
}

void ledgers__refresh_all(struct ledgers *l, uint64_t min_ns, bool at_once)
{
	for (const struct target *t = observer__next(l->o, NULL); t; t = observer__next(l->o, t)) {
		struct ledgers_entry *e = entry_of(l, t);

		if (at_once && e)
			e->refresh_ns = 0;
		ledgers__refresh(l, t, min_ns);
	}
}

const struct ledgers_entry *ledgers__of(const struct ledgers *l, const struct target *t)
{
	return entry_of(l, t);
}

int ledgers__add(struct ledgers *l, const struct target *t, struct profile *p)
{
	int err = 0;

	for (const struct target *of = observer__next(l->o, NULL); of && !err;
	     of = observer__next(l->o, of)) {
		const struct ledgers_entry *e = entry_of(l, of);

		if ((!t || t == of) && e && e->has)
			err = profile__ledger(p, of->pid, e->comm, &e->ledger);
	}
	return err;
}
