/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pass_code.h - a pass over all processes as bytes: what changed since the pass before, or with
 * nothing before it everything (a key pass, where reading can begin). Pure; reading is bounded and
 * survives any input.
 *
 * Bytes: PASS_BY_PAGES, entries, then for each by ascending id: id - the id before << 1 | ended; if
 * it has not ended, a mask of the values that are not as expected and what they differ by,
 * variable-length integers as in recordings. Expected are: of RSS the sum of its kinds, of its peak
 * RSS, where these are known; of others, what was before. A difference is in pages where it is
 * whole pages (<< 1), else in bytes (<< 1 | 1); of what is expected to be unknown it is the value;
 * 1: unknown. That is as short as deflated bytes are, of which a reader of one process would have
 * to inflate all.
 *
 * Histories have passes of before, too: packed (packed.h), a mask of the values that changed, a
 * value v as v + 1, unknown as 0, the differences of these.
 */
#ifndef HISTORY_PASS_CODE_H
#define HISTORY_PASS_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASS_VALUES 35 /* at most 64: a mask */
#define PASS_MAX_ENTRIES (1u << 20)
#define PASS_MAX_VALUE (1LL << 61) /* higher ones are written as this */

struct pass_entry {
	int64_t id;		    /* > the one before */
	int64_t value[PASS_VALUES]; /* >= 0, or unknown: TIMELINE_UNKNOWN, others below 0 */
};

struct pass_state { /* the processes as they were at a pass; zeroed: none */
	struct pass_entry *e;
	size_t n, cap;
};

void pass_state__clear(struct pass_state *s);
/* A copy of n entries in place of what was there. 0 or -ENOMEM. */
int pass_state__set(struct pass_state *s, const struct pass_entry *e, size_t n);
/* Two states side by side by ascending id, from a zeroed one: *ret_x and *ret_y are the entries of
 * the next id that either has, NULL where it has none. false: that was all. */
struct pass_pair {
	size_t i, j;
};
bool pass_pair__next(struct pass_pair *p, const struct pass_state *x, const struct pass_state *y,
		     const struct pass_entry **ret_x, const struct pass_entry **ret_y);
/* The entry of an id, NULL: none. */
const struct pass_entry *pass_state__find(const struct pass_state *s, int64_t id);

/* What makes `now` of `before`; *ret is malloc'ed. 0 or -ENOMEM. */
int pass_code__write(const struct pass_state *before, const struct pass_state *now, uint8_t **ret,
		     size_t *ret_len);
/* Makes of the state before that after the pass. 0; -EBADMSG, -ENOMEM: the state is empty. */
int pass_code__apply(struct pass_state *s, const void *data, size_t len);
/* The same of one id: the state has its entry or none. What comes behind it is not looked at. */
int pass_code__apply_one(struct pass_state *s, int64_t id, const void *data, size_t len);

#endif
