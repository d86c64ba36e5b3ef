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

#endif
