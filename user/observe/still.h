/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * still.h - when to look at the pages of a process: each second while it faults or changes in size,
 * and the longer it has been as it was, the rarer, every eight seconds at the rarest. Pure; times
 * in ns.
 */
#ifndef OBSERVE_STILL_H
#define OBSERVE_STILL_H

#include <stdbool.h>
#include <stdint.h>

#define STILL_MIN_NS 1000000000ULL
#define STILL_MAX_NS (8 * STILL_MIN_NS)

/* All 0: nothing has been seen of it. */
struct still {
	uint64_t rss_bytes, step_ns, due_ns; /* at the last check, and when to check again */
};

/* Is it to be asked for its size? has_news: there are faults that no look has settled. */
static inline bool still__is_due(const struct still *s, bool has_news, uint64_t now_ns)
{
	return has_news || now_ns >= s->due_ns;
}

/* It has that size now. True: look at its pages. */
static inline bool still__check(struct still *s, bool has_news, uint64_t rss_bytes, uint64_t now_ns)
{
	bool changed = has_news || rss_bytes != s->rss_bytes;

	s->rss_bytes = rss_bytes;
	s->step_ns = changed			     ? STILL_MIN_NS
		     : s->step_ns * 2 < STILL_MAX_NS ? s->step_ns * 2
						     : STILL_MAX_NS;
	s->due_ns = now_ns + s->step_ns;
	return changed;
}

#endif
