/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rung.h - fast mode in the observer: stubs in an allocator instead of probes, where that can be.
 */
#ifndef OBSERVE_RUNG_H
#define OBSERVE_RUNG_H

#include "observe/observer_priv.h"

/* What is there of fast mode before anything is done: 0, or -EBUSY: another memwatch works in the
 * process. Leftovers of one that is gone are taken out if fast mode is asked for, else refused
 * too: a probe must never be put into the bytes of a jump. */
int rung__check(struct observer *o, struct observed *t, enum target_origin from);
/* Stubs for the allocator in module m, mapped by e. 0: done, *ret_n probe sites; 1: not wanted or
 * refused (told), probes serve; -EINPROGRESS: the process is about to be held and looked at again;
 * other -errno. */
int rung__fast(struct observer *o, struct observed *t, struct module *m,
	       const struct procmap_entry *e, size_t *ret_n);
/* A module that had stubs in this process is mapped by e: is that another time that it is loaded,
 * after the first was closed or beside it (dlmopen), and is to be looked at as if it were new? */
bool rung__loaded_anew(struct observed *t, const struct module *m, const struct procmap_entry *e);
/* Takes the stubs of a living process out; of one that has a new image, where a look before the
 * news of it may have put some; forgets those of one that is gone. */
void rung__leave(struct observer *o, struct observed *t);
void rung__renewed(struct observer *o, struct observed *t);
void rung__forget(struct observer *o, struct observed *t);
/* Is this address in a stub or its tables? */
bool rung__owns(const struct observed *t, uint64_t addr);
/* The probes on its stubs, for a process that runs in its memory. 0 or -errno. */
int rung__attach_sharer(struct observer *o, const struct observed *t, pid_t pid);
/* Does the module have stubs there? */
bool rung__has_stubs(const struct observed *t, const struct module *m);
/* Its stubs sample at the target's rate of now. */
void rung__set_rate(const struct observer *o, const struct observed *t);

#endif
