/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hist_out.h - a profile's histograms of sizes and lifetimes, for people and as members of
 * memwatch.profile/1. Profiles without histograms write nothing.
 */
#ifndef FORMAT_HIST_OUT_H
#define FORMAT_HIST_OUT_H

#include <stdio.h>

#include "model/profile.h"

#define HIST_OUT_BAR 30 /* columns of the longest bar */

/* Sizes, lifetimes, temporary allocations and the stacks that make most of those. */
void hist_out__text(FILE *f, const struct profile *p, int bar);
/* Of one stack: how many blocks of each age live, sizes, lifetimes, temporary ones. */
void hist_out__stack_text(FILE *f, const struct profile *p, uint32_t sample, int bar);
/* One line under a stack: its usual sizes and lifetimes. */
void hist_out__stack(FILE *f, const struct profile *p, uint32_t sample);

/* "size_histogram":[…],"lifetime_histogram":[…],"temporary":{…} and a comma, … */
void hist_out__json_total(FILE *f, const struct profile *p);
/* … and of one stack, without bytes in the buckets. */
void hist_out__json_stack(FILE *f, const struct profile *p, uint32_t sample);

#endif
