/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/gcwait.h"

#include <stdio.h>

#include "core/util.h"

#define PATIENCE_NS 5000000000ULL /* stores that scrape wait for 10 s */

void gcwait__begin(struct gcwait *w, struct deep *d, const struct deep_process *p)
{
	*w = (struct gcwait){0};
	if (p->is_go && !deep__collections(d, p, &w->before))
		w->begun_ns = util__now_ns();
}

bool gcwait__look(struct gcwait *w, struct deep *d, const struct deep_process *p)
{
	uint32_t n;

	if (!w->begun_ns || w->ended_ns || !p || deep__collections(d, p, &n))
		return false;
	if (n != w->before)
		w->ended_ns = util__now_ns();
	return !w->ended_ns && util__now_ns() - w->begun_ns < PATIENCE_NS;
}

int gcwait__comment(const struct gcwait *w, struct profile *p)
{
	char text[192];

	if (w->ended_ns)
		snprintf(text, sizeof(text),
			 "gc=1: memwatch starts no garbage collection in a process; the program's "
			 "own that ended %.1f s after the question was waited for",
			 (double)(w->ended_ns - w->begun_ns) / 1e9);
	else if (w->begun_ns)
		snprintf(
			text, sizeof(text),
			"gc=1: memwatch starts no garbage collection in a process, and none of the "
			"program's own ended within %llu s: the heap is as of its last one",
			PATIENCE_NS / 1000000000);
	else
		snprintf(
			text, sizeof(text),
			"gc=1: memwatch starts no garbage collection in a process; a Go heap is as "
			"of its last one");
	return profile__comment(p, text);
}
