/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * runtimes.h - what language runtimes tell of the observed processes, besides what the probes see:
 * the heap profile of Go programs, the names that JIT compilers write down. Such things must be
 * opened while the process lives: call runtimes__tick often.
 */
#ifndef SNAPSHOT_RUNTIMES_H
#define SNAPSHOT_RUNTIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "go/go_timeline.h"
#include "model/profile.h"
#include "observe/observer.h"

struct runtimes;
struct symbolizer;
struct symbolizer_jit;

/* Both are borrowed. 0 or -ENOMEM. */
int runtimes__new(const struct observer *o, struct symbolizer *sym, struct runtimes **ret);
void runtimes__free(struct runtimes *r); /* accepts NULL */

/* Looks at new targets and at those with a new image, and keeps the last profile of every live Go
 * program recent, for the moment when it is gone; gives back what was known of removed targets.
 * What cannot be read is said once; the run goes on without. */
void runtimes__tick(struct runtimes *r);

/* The target is let go: what is open of it is closed. */
void runtimes__forget(struct runtimes *r, const struct target *t);

/* Names of the target's generated code, NULL if there are none. */
struct symbolizer_jit *runtimes__jit(struct runtimes *r, const struct target *t);

/* --- Go; all accept r NULL: no runtimes are looked at --- */

/* The further columns of a Go program's timeline (go_timeline.h) at this moment; false: no Go
 * program. */
bool runtimes__timeline(const struct runtimes *r, const struct target *t,
			int64_t ret[GO_TIMELINE_COLUMNS]);
/* A Go program that has only begun: what its runtime tells is looked for at the next ticks. */
bool runtimes__go_begins(const struct runtimes *r, const struct target *t);
/* Why the runtime's own profile says little: one sentence, "" if nothing is to be said. */
const char *runtimes__note(const struct runtimes *r, const struct target *t);

bool runtimes__is_go(const struct runtimes *r, const struct target *t);
/* "go1.22.1"; *ret_cgo: C code is linked in. NULL for other programs. */
const char *runtimes__go_version(const struct runtimes *r, const struct target *t, bool *ret_cgo);

/* Garbage collections of a Go program that have ended. 0; -ENOENT: no Go program; other -errno. */
int runtimes__collections(const struct runtimes *r, const struct target *t, uint32_t *ret);

/*
 * Adds the Go heap profile of t to p, labelled heap=go where the C side has a heap of its own.
 * Sets p's period to the runtime's rate if it is all that p holds. 0 or a negative errno.
 */
int runtimes__add(struct runtimes *r, const struct target *t, struct profile *p,
		  const struct profile_label *labels, size_t nlabels);
/* The label that tells the C side's samples of a cgo program apart: 1 and *ret, or 0. */
size_t runtimes__c_label(const struct runtimes *r, const struct target *t, struct profile *p,
			 struct profile_label *ret);

/* What the process has in its heaps: what the probes saw, and a Go runtime's MemStats. */
struct runtimes_numbers {
	double inuse_bytes, inuse_objects, alloc_bytes, alloc_objects;
	double map_bytes; /* anonymous mappings besides, as a profile lists them; 0 of Go */
};
void runtimes__numbers(const struct runtimes *r, const struct observer *o, const struct target *t,
		       struct runtimes_numbers *ret);

/* Lines of a report's header on the Go runtime: heap, stacks, GC, and what stands out. */
void runtimes__print(const struct runtimes *r, FILE *f, const struct target *t);
/* The same in a few words; false (buf untouched) for other programs. */
bool runtimes__words(const struct runtimes *r, const struct target *t, char *buf, size_t len);

#endif
