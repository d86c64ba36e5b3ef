/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_part.h - Go programs under observation: what their runtime knows joins what the probes see.
 */
#ifndef SNAPSHOT_GO_PART_H
#define SNAPSHOT_GO_PART_H

#include <stdio.h>

#include "observe/observer.h"

/* Looks whether the target runs a Go program now (after the attach, after exec) and opens it. What
 * cannot be read is said once; the run goes on without. */
void go_part__look(struct target *t);

/* Keeps the last profile of every live Go target recent, for the moment when it is gone. */
void go_part__tick(struct observer *s);

/*
 * Adds the Go heap profile of t to p, labelled heap=go where the C side has a heap of its own.
 * Sets p's period to the runtime's rate if it is all that p holds. 0 or a negative errno.
 */
int go_part__add(const struct target *t, struct profile *p, const struct profile_label *labels,
		 size_t nlabels);

/* What the process has in its heaps, from a Go runtime's MemStats besides what the probes saw
 * (which the caller puts in first). Nothing is added for other programs. */
struct go_part_numbers {
	double inuse_bytes, inuse_objects, alloc_bytes, alloc_objects;
};
void go_part__numbers(const struct target *t, struct go_part_numbers *n);

/* Lines of a report's header on the Go runtime: heap, stacks, GC, and what stands out. */
void go_part__print(FILE *f, const struct target *t);
/* The same in a few words; false (buf untouched) for other programs. */
bool go_part__words(const struct target *t, char *buf, size_t len);

/* The label that tells the C side's samples of a cgo program apart: 1 and *ret, or 0. */
size_t go_part__c_label(const struct target *t, struct profile *p, struct profile_label *ret);

#endif
