/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/top_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "model/profile.h"
#include "run/attach.h"
#include "run/attach_options.h"
#include "run/live_view.h"
#include "snapshot/ledgers.h"

struct top_profile {
	struct attach_options opts;
	struct attach *attach;
	struct ledgers *ledgers;
	struct live_view *view;
};

static int attach(struct top_profile *p, int pid, char *why, size_t why_len)
{
	int status = attach__open(&p->opts, &p->attach);

	if (!status)
		status = attach__add(p->attach, pid);
	if (!status)
		return 0;
	snprintf(why, why_len, "no profile of %d: %s", pid,
		 observer__error()[0]	     ? observer__error()
		 : status == EXIT_NO_PROCESS ? "no such process"
					     : "it cannot be attached to");
	return -EIO;
}

int top_profile__open(const struct top_profile_opts *o, struct top_profile **ret, char *why,
		      size_t why_len)
{
	struct top_profile *p = calloc(1, sizeof(*p));
	struct live_view_opts view = {.type = PROFILE_INUSE_SPACE,
				      .show_ledger = o->ledger,
				      .allow_signals = o->allow_signals,
				      .has_caller = true};
	int err;

	if (!p)
		return -ENOMEM;
	attach_options__init(&p->opts);
	p->opts.tuning = *o->tuning;
	view.leak_after_s = (double)p->opts.leak_after_ns / 1e9;
	err = attach(p, o->pid, why, why_len);
	if (!err) {
		err = ledgers__new(p->attach->observer, false, &p->ledgers);
		err = err ? err : live_view__open(p->attach, p->ledgers, &view, &p->view);
		if (err)
			snprintf(why, why_len, "no profile of %d: %s", o->pid, strerror(-err));
	}
	if (err)
		top_profile__close(p);
	else
		*ret = p;
	return err;
}

void top_profile__close(struct top_profile *p)
{
	if (!p)
		return;
	live_view__close(p->view);
	ledgers__free(p->ledgers);
	attach__close(p->attach);
	attach_options__clear(&p->opts);
	free(p);
}

int top_profile__fd(const struct top_profile *p)
{
	return observer__fd(p->attach->observer);
}

enum tui_wish top_profile__turn(struct top_profile *p)
{
	attach__poll(p->attach);
	return live_view__input(p->view);
}

int top_profile__update(struct top_profile *p)
{
	attach__poll(p->attach);
	return live_view__update(p->view);
}
