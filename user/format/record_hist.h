/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record_hist.h - the part of a recording that says how large blocks were, how long they lived, and
 * how many of each age still live: sections behind a tick's changes, as differences to the tick
 * before. Counts are whole numbers in a file: estimates of sampled runs are rounded.
 */
#ifndef FORMAT_RECORD_HIST_H
#define FORMAT_RECORD_HIST_H

#include "model/profile.h"
#include "format/record_format.h"

/* What the ticks up to now add up to: the writer's memory, the reader's result. */
struct record_hists {
	struct hist *hist;	 /* one for each stack */
	struct hist_ages **ages; /* NULL: none were told */
	size_t n, hist_cap, ages_cap;
	struct hist_total total;
	uint32_t ages_ms; /* when the ages were taken, on their clock */
};

void record_hists__clear(struct record_hists *h);
/* Room for n stacks. 0 or -ENOMEM. */
int record_hists__reserve(struct record_hists *h, size_t n);

/* Appends the sections of a snapshot, and remembers them. id: the stack of each sample of p. Errors
 * are in out->err. */
void record_hists__put(struct record_hists *h, struct record_bytes *out, const struct profile *p,
		       const uint32_t *id, size_t nstacks);

/* A section of untrusted bytes: can it be added? (id: an unknown one can.) */
bool record_hists__check(uint64_t id, struct record_cursor c, size_t nstacks);
/* Adds a checked section; h has room for all its stacks. 0 or -ENOMEM. */
int record_hists__add(struct record_hists *h, uint64_t id, struct record_cursor c);

#endif
