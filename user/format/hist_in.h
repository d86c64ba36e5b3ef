/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hist_in.h - the histograms of memwatch.profile/1 (what hist_out.h writes) back into a profile. */
#ifndef FORMAT_HIST_IN_H
#define FORMAT_HIST_IN_H

#include <jansson.h>

#include "model/profile.h"

/* A member of a stack: "size_histogram", "lifetime_histogram", "temporary"; others are nothing.
 * 0 or -ENOMEM. What is no valid histogram counts as empty. */
int hist_in__stack(struct hist *h, const char *key, const json_t *v);
/* The same of the profile. */
int hist_in__total(struct profile *p, const char *key, const json_t *v);

#endif
