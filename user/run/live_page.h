/* SPDX-License-Identifier: GPL-2.0-or-later */
/* live_page.h - the page of a run (--http): profiles as they are now, the timeline so far, and word
 * of every report to who has the page open. */
#ifndef RUN_LIVE_PAGE_H
#define RUN_LIVE_PAGE_H

#include "run/attach.h"
#include "run/loop.h"
#include "run/residency.h"
#include "snapshot/ledgers.h"

struct live_page;
struct live_verdicts;

/* The child is started while this process still may (before attach__prepare gives up what it does).
 * An exit status. */
int live_page__start(const char *listen, struct live_page **ret);
/* Begins to answer; everything is borrowed until live_page__end. An exit status. */
int live_page__begin(struct live_page *p, struct loop *l, const struct attach_options *opts,
		     struct attach *a, struct ledgers *ledgers, struct residency *r,
		     struct live_verdicts *verdicts);
/* There is something new. */
void live_page__changed(struct live_page *p);
/* Answers nothing more. */
void live_page__end(struct live_page *p);
void live_page__free(struct live_page *p); /* accepts NULL, as do the two above */

#endif
