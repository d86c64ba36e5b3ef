/* SPDX-License-Identifier: GPL-2.0-or-later */
/* live_view.h - the full-screen view of the observed processes: a source of snapshots for tui. */
#ifndef RUN_LIVE_VIEW_H
#define RUN_LIVE_VIEW_H

#include "snapshot/ledgers.h"
#include "run/attach.h"
#include "tui/tui.h"

struct live_view;

struct live_view_opts {
	int type;	     /* sample type shown first */
	double leak_after_s; /* of trend__judge */
	bool show_ledger;    /* the page of the ledger first */
	bool mappings;	     /* anonymous mappings are listed from the start */
	bool allow_signals;  /* keys may change the process */
	bool has_caller;     /* there is a view to go back to */
};

/* ledgers: borrowed. -ENOTTY, -ENOTSUP: show plain reports instead. */
int live_view__open(struct attach *a, struct ledgers *ledgers, const struct live_view_opts *opts,
		    struct live_view **ret);
/* Gives the terminal back. NULL is fine. */
void live_view__close(struct live_view *v);
int live_view__update(struct live_view *v);
/* What the user wants. Never blocks. */
enum tui_wish live_view__input(struct live_view *v);

#endif
