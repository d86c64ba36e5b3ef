/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter.h - which samples and frames a report shows: pprof's focus, ignore, hide, show,
 * show_from, tagfocus, tagignore, tagshow, taghide, prune_from and the profile's own drop_frames,
 * with pprof's semantics.
 * All change the profile in place.
 */
#ifndef REPORT_FILTER_H
#define REPORT_FILTER_H

#include "model/profile.h"
#include "core/rx.h"

struct filter {
	struct rx *focus, *ignore, *hide, *show, *show_from;
	struct rx *prune_from, *tag_show, *tag_hide;
	const char *tag_focus,
		*tag_ignore; /* [KEY=]VALUE-RE[,…] or [KEY=]RANGE such as 128kb:512kb */
};

/* Bits of what matched nothing, for a warning. */
enum {
	FILTER_FOCUS = 1,
	FILTER_IGNORE = 2,
	FILTER_HIDE = 4,
	FILTER_SHOW = 8,
	FILTER_SHOW_FROM = 16,
	FILTER_TAG_FOCUS = 32,
	FILTER_TAG_IGNORE = 64,
	FILTER_TAG_SHOW = 128,
	FILTER_TAG_HIDE = 256,
};

/* Drops the frames that the profile calls uninteresting (drop_frames, keep_frames). 0, -ENOMEM or
 * -EINVAL (not a regular expression: nothing dropped). */
int filter__drop_frames(struct profile *p);

/* Whether `text` is a filter of labels (tag_focus, tag_ignore): 0, -ENOMEM, -EINVAL with the reason
 * in why, which begins with `name`. */
int filter__check_tag(const char *name, const char *text, char *why, size_t why_len);

/* 0, -ENOMEM, -EINVAL with the reason in why. *ret_unmatched: FILTER_* bits. */
int filter__apply(struct profile *p, const struct filter *f, unsigned *ret_unmatched, char *why,
		  size_t why_len);

/*
 * Units of numeric labels: for every string that is a key, the first unit that a sample gives it,
 * else 0. The caller frees *ret (one entry per string of the profile). 0 or -ENOMEM.
 */
int filter__label_units(const struct profile *p, uint32_t **ret);
/* The unit's name, guessed from the key where no sample gives one. */
const char *filter__label_unit(const struct profile *p, const uint32_t *units, uint32_t key);

#endif
