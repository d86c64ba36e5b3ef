/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heapwalk.h - looks through the memory of a running process for heaps (model/contributors.h do, in
 * a helper without privileges: heap_box.h).
 *
 * Reads resident pages only, so that nothing is faulted or swapped in; the process is neither
 * stopped nor changed. About 0.2 s per GiB of resident heap.
 */
#ifndef SNAPSHOT_HEAPWALK_H
#define SNAPSHOT_HEAPWALK_H

#include <sys/types.h>

#include "model/ledger.h"

#define HEAPWALK_WHY 200

enum heapwalk_state {
	HEAPWALK_UNKNOWN, /* it lies in no heap that could be walked */
	HEAPWALK_GONE,	  /* no chunk of its size is in use at its address */
	HEAPWALK_IN_USE,
};
/*
 * Are these blocks (ascending addresses, none twice) in use? By the chunks alone: one that was
 * freed and handed out again in the same size is in use. 0 with state (n of them) filled in; else a
 * negative errno, -ENOENT: no heap that can be walked is here; why says so in one sentence.
 */
int heapwalk__in_use(pid_t pid, const struct ledger_block *block, size_t n,
		     enum heapwalk_state *state, char why[HEAPWALK_WHY]);
/*
 * The ledger of a process: its mappings are read (smaps__read), its heap is walked and what of it
 * could not be walked because it changed is tried again, three times in all. heap: the live blocks
 * (shares and why_not are filled in here); why_not set: do not walk, that is why. ret_comm may be
 * NULL. 0; as smaps__read.
 */
int heapwalk__ledger(pid_t pid, const struct ledger_heap *heap, struct ledger *ret,
		     char ret_comm[17]);

#endif
