/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * touched.h - how much of what each stack holds is resident: live blocks and anonymous mappings
 * joined with the pages that the kernel has for them.
 */
#ifndef SNAPSHOT_TOUCHED_H
#define SNAPSHOT_TOUCHED_H

#include "observe/observer.h"

struct touched_site {
	double heap_bytes; /* of live blocks, weighted as they are in the profile */
	double map_bytes;  /* of anonymous mappings, exact */
};

/*
 * Adds to sum[site] the bytes of t's live blocks and mappings that lie in resident pages; of a page
 * that a block has only a part of, that part counts. sum has the heap's nsites entries. 0; -ESRCH,
 * -EACCES, …: its pages cannot be seen; -ENOMEM.
 */
int touched__sum(const struct observer *o, const struct target *t, struct touched_site *sum);

#endif
