/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copied_stacks.h - the stacks of threads as their last copies (struct mw_ev_copy) left them: the
 * kernel sends only the chunks that changed since. Pure.
 */
#ifndef PROBE_COPIED_STACKS_H
#define PROBE_COPIED_STACKS_H

#include <stdbool.h>
#include <stddef.h>

#include "memwatch/wire.h"

/* More than the kernel remembers (MW_COPIED_STACKS). */
#define COPIED_STACKS_KEPT 1024

struct copied_stack {
	__u32 tid;
	__u64 chunk[MW_COPY_CHUNKS]; /* by address: address / MW_COPY_CHUNK of what is there; 0 */
	char bytes[MW_COPY_CHUNKS][MW_COPY_CHUNK];
};

struct copied_stacks {
	struct copied_stack **all; /* copied last: at the end */
	size_t n, cap;
};

void copied_stacks__fini(struct copied_stacks *s);

/* Is the event as long as it says? */
bool copied_stacks__whole(const struct mw_ev_copy *ev, size_t size);
/* Takes over an event's chunks (one that is whole). The thread's stack; NULL: no memory. */
const struct copied_stack *copied_stacks__put(struct copied_stacks *s, const struct mw_ev_copy *ev);

/* n bytes of the stack at the moment of the event. 0 or -EFAULT: not in the copy (dst zeroed). */
int copied_stack__read(const struct copied_stack *s, const struct mw_ev_copy *ev, void *dst,
		       size_t n, __u64 at);

#endif
