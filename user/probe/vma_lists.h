/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vma_lists.h - the executable mappings of processes as they were at the last looks: a stack that
 * was copied is walked later, when its process may have another image or be gone. Pure.
 */
#ifndef PROBE_VMA_LISTS_H
#define PROBE_VMA_LISTS_H

#include <stddef.h>
#include <sys/types.h>

#include "memwatch/unwind_row.h"

#define VMA_LISTS_KEPT 4	 /* looks at a process */
#define VMA_LISTS_PROCESSES 1024 /* then those looked at longest ago go */

/* One look: mappings by address. */
struct vma_list {
	struct mw_unwind_vma *vmas;
	size_t n;
};

struct vma_process {
	pid_t pid;
	struct vma_list looks[VMA_LISTS_KEPT]; /* newest first; vmas NULL: none */
};

struct vma_lists {
	struct vma_process *processes; /* looked at last: at the end */
	size_t n, cap;
};

void vma_lists__fini(struct vma_lists *l);

/* Keeps a look, whose memory is the list's from then on (freed when it cannot be kept). */
void vma_lists__add(struct vma_lists *l, pid_t pid, struct mw_unwind_vma *vmas, size_t n);
void vma_lists__forget(struct vma_lists *l, pid_t pid);

/* The newest look at the process at which the file was mapped there; NULL: none. */
const struct vma_list *vma_lists__find(const struct vma_lists *l, pid_t pid, __u64 start,
				       const struct mw_unwind_key *key);

/* The mapping around an address; NULL: none. */
const struct mw_unwind_vma *vma_list__at(const struct vma_list *list, __u64 addr);

#endif
