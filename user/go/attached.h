/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attached.h - the Go side of a process that memwatch is attached to: its runtime's heap profile,
 * read afresh while the process lives, and the last one read once it is gone.
 */
#ifndef GO_ATTACHED_H
#define GO_ATTACHED_H

#include "go/go_program.h"

#include <stdbool.h>
#include <stdint.h>

struct go_attached;

/* 0; -ENOENT: not a Go program; others as go_program__open, with a sentence in why. */
int go_attached__open(int pid, struct go_attached **ret, char why[GO_WHY_LEN]);
void go_attached__free(struct go_attached *a); /* accepts NULL */

const char *go_attached__version(const struct go_attached *a);
/* C code is linked in: the C allocator has a heap of its own. */
bool go_attached__cgo(const struct go_attached *a);
/* "" or one sentence on why the profile is (partly) empty. */
const char *go_attached__note(const struct go_attached *a);

/* Garbage collections that have ended since the program's start. 0 or -errno: it is gone. */
int go_attached__collections(const struct go_attached *a, uint32_t *ret);

/*
 * Reads the profile if the last one is older than max_age_ns or a GC cycle has ended since: cheap
 * enough to call often (one word is read to find out, and readings are kept to a twentieth of one
 * CPU). A reading that fails leaves the last one in place.
 */
void go_attached__refresh(struct go_attached *a, uint64_t max_age_ns);

/* Adds the newest profile's samples, totals and comment to p (four heap types set); labels as
 * go_program__add. Frees are added to the totals, too. *ret_rate: the runtime's sampling rate. */
int go_attached__add(struct go_attached *a, struct profile *p, const struct profile_label *labels,
		     uint32_t nlabels, uint64_t *ret_rate);

/* MemStats and the number of goroutines now; of the last reading once the process is gone. False if
 * there never was one. */
bool go_attached__memstats(struct go_attached *a, struct go_memstats *ret,
			   uint64_t *ret_goroutines);

#endif
