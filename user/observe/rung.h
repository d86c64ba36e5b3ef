/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rung.h - fast mode in the observer: stubs in an allocator instead of probes, where that can be. */
#ifndef OBSERVE_RUNG_H
#define OBSERVE_RUNG_H

#include "observe/observer_priv.h"

/* What is there of fast mode before anything is done: 0, or -EBUSY: another memwatch works in the
 * process. Leftovers of one that is gone are taken out if fast mode is asked for, else refused
 * too: a probe must never be put into the bytes of a jump. */
int rung__check(struct observer *o, struct observed *t);
/* Stubs for the allocator in module m, mapped by e. 0: done, *ret_n probe sites; 1: not wanted or
 * refused (told), probes serve; -errno. */
int rung__fast(struct observer *o, struct observed *t, struct module *m,
	       const struct procmap_entry *e, size_t *ret_n);
/* Takes the stubs of a living process out; forgets those of one that is gone or has another image.
 */
void rung__leave(struct observer *o, struct observed *t);
void rung__forget(struct observed *t);
void rung__set_rate(struct observer *o, uint64_t sample_bytes);

#endif
