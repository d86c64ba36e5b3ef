/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heapwalk.h - walks the heap of glibc's malloc in a running process (model/glibc_heap.h does).
 *
 * Reads resident pages only, so that nothing is faulted or swapped in; the process is neither
 * stopped nor changed. About 0.2 s per GiB of resident heap.
 */
#ifndef SNAPSHOT_HEAPWALK_H
#define SNAPSHOT_HEAPWALK_H

#include <sys/types.h>

#include "model/glibc_heap.h"
#include "model/ledger.h"

/*
 * maps: of the process, just read (smaps__read). block: live blocks by ascending address, may be
 * NULL. 0: walked, see failed and note; -ENOENT: no glibc heap; -EBADMSG: it contradicts itself;
 * -ESRCH; -EACCES; other -errno. *ret is valid in any case: note says why. Free with
 * glibc_heap__free. *ret_python: of each mapping what Python's arenas have of it, malloc'ed; NULL:
 * nothing.
 */
int heapwalk__read(pid_t pid, const struct ledger_input *maps, const struct ledger_block *block,
		   size_t nblocks, struct glibc_heap *ret, struct ledger_bytes **ret_python);

/*
 * The ledger of a process: its mappings are read (smaps__read), its heap is walked and what of it
 * could not be walked because it changed is tried again, three times in all. heap: the live blocks
 * (walk and why_not are filled in here); why_not set: do not walk, that is why. ret_comm may be
 * NULL. 0; as smaps__read.
 */
int heapwalk__ledger(pid_t pid, const struct ledger_heap *heap, struct ledger *ret,
		     char ret_comm[17]);

#endif
