/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagemap.h - which pages of a process are in memory: PAGEMAP_SCAN (Linux 6.7), before that the
 * entries of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
 */
#ifndef SYS_PAGEMAP_H
#define SYS_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

struct pagemap {
	int fd;
	bool scans;
	uint64_t page_bytes;
};

/* 0; -ESRCH: gone, or without memory of its own (a kernel thread, a zombie); -EACCES. */
int pagemap__open(int pid, struct pagemap *ret);
void pagemap__close(struct pagemap *m);

/*
 * Calls fn for each resident range of [start, end), ascending and not overlapping; start and end
 * are rounded outwards to pages. Swapped pages are not resident, nor is the page of zeros that
 * reading untouched memory maps (where the kernel cannot scan, it counts as resident). 0, -ESRCH
 * when the memory is gone, other -errno.
 */
int pagemap__resident(const struct pagemap *m, uint64_t start, uint64_t end,
		      void (*fn)(void *arg, uint64_t start, uint64_t end), void *arg);
/* Whether the page at addr is resident now (that of zeros, too). */
bool pagemap__is_present(const struct pagemap *m, uint64_t addr);

#endif
