/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * merge.h - several profiles into one, by the rules of pprof: locations are equal by mapping
 * (build-id or file, size, offset), address within it and lines; samples by stack and labels.
 * Histograms add up where every source has them, and are dropped else.
 * Samples whose values are all 0 disappear, and with them what only they referred to.
 */
#ifndef REPORT_MERGE_H
#define REPORT_MERGE_H

#include "model/profile.h"

/*
 * 0; -EINVAL: sample or period types differ (a text in *ret_why, static); -ENOMEM, -E2BIG. The
 * sources stay the caller's.
 */
int merge__profiles(struct profile *const *src, size_t n, struct profile **ret,
		    const char **ret_why);

/* *p becomes a difference: what it has more than base, whose values are changed: negative where it
 * has less. Of histograms and ledgers no difference is made. Errors as above; *p stays then. */
int merge__subtract(struct profile **p, struct profile *base, const char **ret_why);
/* A label of every sample. */
int merge__label(struct profile *p, const char *key, const char *value);

/*
 * The survivors: what was allocated after `then` and is still live at `now`, both of one run of
 * one program. Two snapshots do not say which block is old and which is new, but they bound the
 * answer per stack. With I0, I1 in use then and now, A allocated and D old blocks freed between:
 *	survivors = I1 - I0 + D,  0 <= D <= I0,  survivors <= A
 * so they are at least max(0, I1 - I0) and at most min(A, I1). The result carries A as alloc_*
 * and the lower bound as inuse_* (never negative, never above A); a comment tells both sums.
 * 0; -EINVAL with *ret_why if the files are not of one run (pid, types) or in the wrong order.
 * Both sources are changed.
 */
int merge__survivors(struct profile *then, struct profile *now, struct profile **ret,
		     const char **ret_why);

#endif
