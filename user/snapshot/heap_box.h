/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heap_box.h - the memory of a process looked through for heaps by a helper without privileges
 * (sys/box.h): it has a reader of that memory and of no other (sys/memreader.h), and which pages
 * are resident, and nothing else. What it answers is checked to be well-formed; that it is true
 * nobody can say, but it is about that process alone.
 */
#ifndef SNAPSHOT_HEAP_BOX_H
#define SNAPSHOT_HEAP_BOX_H

#include "model/contributors.h"
#include "sys/box.h"

struct heap_box_files { /* borrowed */
	struct procmem *mem;
	int pagemap; /* a descriptor of /proc/PID/pagemap */
	int libc;    /* of the C library that it maps, -1: none */
};

#define HEAP_BOX_NOTE 200

/*
 * As contributors__find of what in->maps, present, block and go say (its functions are not used;
 * the C library's release is found in the file). in_use NULL: the blocks are live; else that is
 * what is asked of each: does a chunk in use of about its size begin where it does? False where
 * nothing was found. As that, or as box_helper__receive with a note. Shares are freed by
 * contributors__free in any case.
 */
int heap_box__find(const struct heap_memory *in, const struct heap_box_files *files,
		   const struct box_target *whose, bool *in_use,
		   struct ledger_share ret[CONTRIBUTORS], size_t *ret_n, char note[HEAP_BOX_NOTE]);

/* The helper's side. */
void heap_box__serve(struct box_conn *c, struct box_request *r);

#endif
