/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/live_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "snapshot/go_part.h"
#include "snapshot/missing.h"
#include "snapshot/snapshot.h"
#include "sys/statm.h"

struct live_view {
	struct observer *s;
	struct tui *tui;
	struct ledgers *ledgers;
	size_t shown; /* index of the process on show */
	char cost[96];
};

static int snapshot(void *arg, bool histograms, struct profile **ret, struct tui_numbers *n)
{
	struct live_view *v = arg;
	struct target *t = v->s->targets[v->shown];
	const struct heap_target *h = &v->s->heap->targets[t->index];
	uint64_t c[MW_C_COUNT];
	struct statm mem;
	struct losses l;
	int err;

	v->s->histograms = histograms;
	err = snapshot__heap(v->s, t, true, ret);
	v->s->histograms = false;
	if (err)
		return err;
	*n = (struct tui_numbers){.pid = t->pid,
				  .name = t->cmdline && *t->cmdline ? t->cmdline : t->comm,
				  .ended = t->ended,
				  .watched_ns = util__now_ns() - t->start_ns,
				  .inuse_bytes = h->alloc_bytes - h->free_bytes,
				  .inuse_objects = h->alloc_objects - h->free_objects,
				  .alloc_bytes = h->alloc_bytes,
				  .alloc_objects = h->alloc_objects};
	struct go_part_numbers go = {n->inuse_bytes, n->inuse_objects, n->alloc_bytes,
				     n->alloc_objects};

	go_part__numbers(t, &go);
	n->inuse_bytes = go.inuse_bytes;
	n->inuse_objects = go.inuse_objects;
	n->alloc_bytes = go.alloc_bytes;
	n->alloc_objects = go.alloc_objects;
	statm__read(t->pid, &mem);
	n->rss_bytes = mem.rss;
	n->virt_bytes = mem.virt;
	if (!missing__gather(v->s, t, &l))
		n->lost = losses__sum(&l, LOSSES_SUM);
	if (!observer__counters(v->s, t, c)) {
		n->cost = go_part__words(t, v->cost, sizeof(v->cost))
				  ? v->cost
				  : observer__cost(v->s, c, v->cost, sizeof(v->cost));
	}
	return 0;
}

static void next_process(void *arg)
{
	struct live_view *v = arg;

	v->shown = (v->shown + 1) % v->s->ntargets;
}

static void ledger(void *arg, struct tui_ledger *ret)
{
	struct live_view *v = arg;
	const struct target *t = v->s->targets[v->shown];
	const struct ledgers_entry *e = ledgers__refresh(v->ledgers, t, LEDGERS_VIEW_NS);

	*ret = (struct tui_ledger){0};
	if (e && e->has)
		ret->ledger = &e->ledger;
	if (t->ended)
		ret->why = "the process has ended";
	else if (!e || e->error)
		ret->why = strerror(e ? -e->error : ENOMEM);
	ret->took_ns = e ? e->took_ns : 0;
	ret->pause_ns = e ? e->pause_ns : 0;
}

int live_view__open(struct observer *s, struct ledgers *ledgers, int type, double leak_after_s,
		    bool show_ledger, struct live_view **ret)
{
	struct live_view *v = calloc(1, sizeof(*v));
	struct tui_source source = {.arg = v,
				    .snapshot = snapshot,
				    .next = next_process,
				    .leak_after_s = leak_after_s,
				    .ledger = ledger};
	int err;

	if (!v)
		return -ENOMEM;
	v->s = s;
	v->ledgers = ledgers;
	err = tui__open(&source, type, &v->tui);
	if (err) {
		free(v);
		return err;
	}
	if (show_ledger)
		tui__show_ledger(v->tui);
	*ret = v;
	return 0;
}

void live_view__close(struct live_view *v)
{
	if (!v)
		return;
	tui__close(v->tui);
	free(v);
}

int live_view__update(struct live_view *v)
{
	return tui__update(v->tui);
}

bool live_view__input(struct live_view *v)
{
	return tui__input(v->tui);
}
