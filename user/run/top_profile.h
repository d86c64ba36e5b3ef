/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top_profile.h - from top into one process: its live view, and back. */
#ifndef RUN_TOP_PROFILE_H
#define RUN_TOP_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/plan.h"
#include "tui/tui.h"

struct top_profile;

struct top_profile_opts {
	int pid;
	bool ledger;	    /* that page first */
	bool allow_signals; /* as in struct live_view_opts */
	const struct plan_tuning *tuning;
};

/* Attaches; the terminal is open already. 0 or -errno with why. */
int top_profile__open(const struct top_profile_opts *o, struct top_profile **ret, char *why,
		      size_t why_len);
/* Lets the process go and leaves the terminal open. NULL is fine. */
void top_profile__close(struct top_profile *p);
/* Readable when there are events. */
int top_profile__fd(const struct top_profile *p);
/* Takes events and keys; call often. */
enum tui_wish top_profile__turn(struct top_profile *p);
/* A new snapshot on the screen. 0 or -errno. */
int top_profile__update(struct top_profile *p);

#endif
