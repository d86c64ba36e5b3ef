/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reshape.h - changes to stacks and labels that pprof's options ask for: frames made of labels,
 * inlined calls left out, labels and frames cut. All change the profile in place.
 */
#ifndef REPORT_RESHAPE_H
#define REPORT_RESHAPE_H

#include "model/profile.h"
#include "core/rx.h"

/*
 * Frames made of labels, at the root and at the leaf of every stack. Keys are ','-separated, the
 * first is nearest to the root; NULL: none. Numbers are shown in `unit`. ret_found: whether any
 * sample has one of the labels. 0, -ENOMEM, -E2BIG.
 */
int reshape__label_frames(struct profile *p, const char *root, const char *leaf, const char *unit,
			  bool ret_found[2]);

/* Leaves of each location the function that was really called. */
void reshape__no_inlines(struct profile *p);

/* Leaves the labels whose key matches show (NULL: all) and not hide (NULL: none). Whether a key
 * matched either goes to ret_matched. */
void reshape__labels_by_key(struct profile *p, struct rx *show, struct rx *hide,
			    bool ret_matched[2]);

/* A name without a leading '.' and its arguments, as drop_frames and prune_from see it; malloc'ed.
 */
char *reshape__simple_name(const char *name);

/* Cuts every stack below the match that is nearest to its leaf. 0 or -ENOMEM. */
int reshape__prune_from(struct profile *p, struct rx *rx);

#endif
