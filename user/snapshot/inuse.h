/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inuse.h - what is in use of what was sampled in windows: frees between them are not seen, so the
 * process's heap is walked, and blocks that are not in it any more leave the profile.
 */
#ifndef SNAPSHOT_INUSE_H
#define SNAPSHOT_INUSE_H

#include "observe/observer.h"

#define INUSE_TEXT 512

/*
 * Looks at a target that is, or was, seen in windows, unless the last look is not long ago for what
 * it took (at_once: all the same). Others, ended ones and an observer that is frozen stay as they
 * are. What it came to: observer__heap(o)->targets[].reuse.
 */
void inuse__look(struct observer *o, const struct target *t, bool at_once);
/* A window has closed, and what was sampled in it has been read: remembers what its blocks begin
 * with. */
void inuse__note(struct observer *o);
/* All of them, at once. */
void inuse__look_all(struct observer *o);
/* Is it known what a target has in use? Not so where its heap cannot be walked. */
bool inuse__known(const struct observer *o, const struct target *t);
/* One sentence on windows and on what they mean for a target's figures; "": it was always seen. */
const char *inuse__text(const struct observer *o, const struct target *t, char buf[INUSE_TEXT]);
/* The same in a few words. */
const char *inuse__brief(const struct observer *o, const struct target *t, char buf[INUSE_TEXT]);

#endif
