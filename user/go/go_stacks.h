/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_stacks.h - turns the runtime's tracebacks (lists of return addresses in which inlined calls
 * have entries of their own) into a profile's locations, the way runtime/pprof does: the entries of
 * one chain of inlined calls become one location with several lines.
 */
#ifndef GO_GO_STACKS_H
#define GO_GO_STACKS_H

#include "go/go_target.h"
#include "model/profile.h"

#include <stdint.h>

#define GO_STACK_MAX (1100 + GOTAB_MAX_INLINE) /* locations of one stack */

struct go_stacks; /* caches locations by address */

int go_stacks__new(const struct go_target *t, struct profile *p, struct go_stacks **ret);
void go_stacks__free(struct go_stacks *s); /* accepts NULL */

/*
 * Locations of one traceback, leaf first, into locs[GO_STACK_MAX]; their number or -errno.
 * hide_runtime leaves leading runtime functions out, unless there are no others.
 */
int go_stacks__locations(struct go_stacks *s, const uint64_t *stk, size_t n, bool hide_runtime,
			 uint32_t *locs);

#endif
