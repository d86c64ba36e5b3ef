/* SPDX-License-Identifier: GPL-2.0-or-later */
/* smaps_sums.h - sums over a process's mappings: /proc/PID/smaps_rollup. */
#ifndef SYS_SMAPS_SUMS_H
#define SYS_SMAPS_SUMS_H

#include <stdint.h>
#include <sys/types.h>

struct smaps_sums { /* bytes */
	uint64_t rss, anon_huge;
	uint64_t lazy_free; /* of RSS: given back with MADV_FREE, and not yet taken by the kernel */
};

/* The kernel walks all page tables for it: milliseconds for each GiB. 0; negative errno, and *ret
 * is zeros. */
int smaps_sums__read(pid_t pid, struct smaps_sums *ret);

#endif
