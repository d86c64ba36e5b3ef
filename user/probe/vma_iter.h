/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vma_iter.h - a process's executable mappings, with the kernel's own keys of their files. */
#ifndef PROBE_VMA_ITER_H
#define PROBE_VMA_ITER_H

#include <sys/types.h>

#include "memwatch/unwind_row.h"

struct bpfobj;

/* Those of its first thread, or of all if that one is gone. Malloc'ed list; its length or a
 * negative errno. Not for two threads at once. */
ssize_t vma_iter__read(struct bpfobj *o, pid_t pid, struct mw_unwind_vma **ret);
/* Is the file behind fd the one that has this key? It is mapped for that: stat() shows other
 * numbers on overlayfs and btrfs. Like vma_iter__read. 0; -ESTALE: another; other -errno. */
int vma_iter__check(struct bpfobj *o, int fd, const struct mw_unwind_key *key);

#endif
