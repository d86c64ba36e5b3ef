/* SPDX-License-Identifier: GPL-2.0-or-later */
/* live_view.h - the full-screen view of the observed processes: a source of snapshots for tui. */
#ifndef RUN_LIVE_VIEW_H
#define RUN_LIVE_VIEW_H

#include "snapshot/ledgers.h"
#include "run/attach.h"
#include "tui/tui.h"

struct live_view;

/* type: sample type shown first; leak_after_s: of trend__judge; show_ledger: the page of the ledger
 * first. ledgers: borrowed. -ENOTTY, -ENOTSUP: show plain reports instead. */
int live_view__open(struct attach *a, struct ledgers *ledgers, int type, double leak_after_s,
		    bool show_ledger, struct live_view **ret);
/* Gives the terminal back. NULL is fine. */
void live_view__close(struct live_view *v);
int live_view__update(struct live_view *v);
/* True: the user wants to leave. Never blocks. */
bool live_view__input(struct live_view *v);

#endif
