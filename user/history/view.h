/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * view.h - a history as texts for people and as JSON: what happened between two moments, one
 * process, one event. Names are untrusted and escaped.
 */
#ifndef HISTORY_VIEW_H
#define HISTORY_VIEW_H

#include <stdbool.h>
#include <stdio.h>

#include "history/history.h"

struct history_view {
	struct history *h;
	FILE *f;
	int64_t from, to; /* ms since 1970 */
	size_t top;	  /* processes, events and profiles shown; the rest is counted */
	bool json;
};

/* Everything: the machine, who grew, events, profiles. All return 0 or -errno (-EPIPE, …: of the
 * stream). */
int history_view__all(const struct history_view *v);
int history_view__growth(const struct history_view *v);
int history_view__events(const struct history_view *v);
int history_view__profiles(const struct history_view *v, int64_t process); /* 0: of all */
/* One process: its rows (at most v->top, evenly), its profiles. -ENOENT. */
int history_view__process(const struct history_view *v, int64_t process);
/* One event, whole. -ENOENT. */
int history_view__event(const struct history_view *v, int64_t id);

#endif
