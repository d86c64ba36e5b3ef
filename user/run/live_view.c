/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/live_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "run/live.h"
#include "snapshot/inuse.h"
#include "snapshot/missing.h"
#include "snapshot/runtimes.h"

struct live_view {
	struct attach *attach;
	struct tui *tui;
	struct ledgers *ledgers;
	uint32_t shown;	   /* index of the process on show */
	uint64_t shown_ns; /* its start_ns */
	char cost[96], windows[INUSE_TEXT];
};

static const struct target *shown(const struct live_view *v)
{
	const struct target *t = observer__at(v->attach->observer, v->shown);

	return t ? t : observer__next(v->attach->observer, NULL);
}

static int snapshot(void *arg, bool histograms, bool mappings, struct profile **ret,
		    struct tui_numbers *n)
{
	struct live_view *v = arg;
	const struct target *t = shown(v);
	const struct observer *o = v->attach->observer;
	struct snapshot_opts opts = {.target = t, .mappings = mappings, .histograms = histograms};
	struct runtimes_numbers heap;
	uint64_t c[MW_C_COUNT];
	struct losses l;
	struct statm mem;
	int err = t ? attach__snapshot(v->attach, opts, ret) : -ESRCH;

	if (err)
		return err;
	runtimes__numbers(v->attach->runtimes, o, t, &heap);
	observer__memory(t, &mem);
	*n = (struct tui_numbers){.pid = t->pid,
				  .id = t->start_ns,
				  .name = t->cmdline && *t->cmdline ? t->cmdline : t->comm,
				  .ended = t->ended,
				  .watched_ns = util__now_ns() - t->start_ns,
				  .inuse_bytes = (double)profile__sum(*ret, PROFILE_INUSE_SPACE),
				  .inuse_objects =
					  (double)profile__sum(*ret, PROFILE_INUSE_OBJECTS),
				  .map_bytes = mappings ? 0 : heap.map_bytes,
				  .alloc_bytes = heap.alloc_bytes,
				  .alloc_objects = heap.alloc_objects,
				  .rss_bytes = mem.rss,
				  .virt_bytes = mem.virt,
				  .windows = inuse__brief(o, t, v->windows),
				  .inuse_unknown = (*ret)->inuse_unknown};
	if (!missing__gather(o, t, &l))
		n->lost = losses__sum(&l, LOSSES_SUM);
	if (!observer__counters(o, t, c)) {
		n->cost = runtimes__words(v->attach->runtimes, t, v->cost, sizeof(v->cost))
				  ? v->cost
				  : live__cost(o, c, v->cost, sizeof(v->cost));
	}
	return 0;
}

static void next_process(void *arg)
{
	struct live_view *v = arg;
	const struct target *t = observer__next(v->attach->observer, shown(v));

	if (!t)
		t = observer__next(v->attach->observer, NULL);
	v->shown_ns = t ? t->start_ns : 0;
	v->shown = t ? t->index : 0;
}

static void ledger(void *arg, struct tui_ledger *ret)
{
	struct live_view *v = arg;
	const struct target *t = shown(v);
	const struct ledgers_entry *e = t ? ledgers__refresh(v->ledgers, t, LEDGERS_VIEW_NS) : NULL;

	*ret = (struct tui_ledger){0};
	if (e && e->has)
		ret->ledger = &e->ledger;
	if (!t || t->ended)
		ret->why = "the process has ended";
	else if (!e || e->error)
		ret->why = strerror(e ? -e->error : ENOMEM);
	ret->took_ns = e ? e->took_ns : 0;
	ret->pause_ns = e ? e->pause_ns : 0;
}

static int open_process(void *arg, struct pidref *ret)
{
	const struct target *t = shown(arg);

	return t ? observer__process(t, ret) : -ESRCH;
}

int live_view__open(struct attach *a, struct ledgers *ledgers, const struct live_view_opts *opts,
		    struct live_view **ret)
{
	struct live_view *v = calloc(1, sizeof(*v));
	struct tui_source source = {.arg = v,
				    .snapshot = snapshot,
				    .next = next_process,
				    .leak_after_s = opts->leak_after_s,
				    .mappings = opts->mappings,
				    .has_caller = opts->has_caller,
				    .allow_signals = opts->allow_signals,
				    .process = open_process,
				    .ledger = ledger};
	int err;

	if (!v)
		return -ENOMEM;
	v->attach = a;
	v->ledgers = ledgers;
	err = tui__open(&source, opts->type, &v->tui);
	if (err) {
		free(v);
		return err;
	}
	if (opts->show_ledger)
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
	const struct target *t = shown(v);

	if (!t)
		return 0;			       /* what was there stays on show */
	if (v->shown_ns && v->shown_ns != t->start_ns) /* the one before was let go */
		tui__forget(v->tui);
	v->shown = t->index;
	v->shown_ns = t->start_ns;
	return tui__update(v->tui);
}

enum tui_wish live_view__input(struct live_view *v)
{
	return tui__input(v->tui);
}
